/**
 * delete-server: QEMU is ended, its volumes are free again (or go with it, where that was asked for), the root disk is
 * given up and its layers are nobody's but their snapshots' and images'. Snapshots of the server itself go with it.
 */
import { deleteServer, deleteVolume, type ServerInput } from '../domain/operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import { endGuestStep, forgetGuest } from '../steps/guest.js'
import { dropMemory } from '../steps/memory.js'
import type { Journal, Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { giveUpDisk } from './give-up-disk.js'
import { giveUpServerSnapshots } from './give-up-server-snapshots.js'
import { forgetMemory, savedStates } from './memory-parts.js'
import { retireBelow } from './retire.js'
import { endServerJob } from './server-parts.js'
import { originOf, tellEvent } from './tell.js'

export const deleteServerOperation: Operation<ServerInput, Tools> = {
  descriptor: deleteServer,
  plan: ({ serverId, diskIds }) => ({
    prepare: [],
    finish: [
      endGuestStep(serverId),
      forgetGuest(serverId),
      dropMemory(async (stores) => (await savedStates(stores, serverId)).map(({ id }) => id)),
    ],
    async settle(_, stores, journal) {
      await retireBelow(stores, diskIds, journal)
      for (const { id } of await savedStates(stores, serverId)) await forgetMemory(stores, id)
      await releaseVolumes(stores, journal, serverId)
      for (const disk of await stores.disks.list(ANY, { where: { serverId: { is: serverId } } })) {
        if (disk.kind === 'root') await giveUpDisk(stores, disk.id, journal)
        else await stores.disks.update(disk.id, { serverId: null })
      }
      await giveUpServerSnapshots(stores, serverId, journal)
      await stores.quotas.release(serverId)
      const gone = { vmState: 'deleted', powerState: 0, taskState: null, terminatedAt: journal.now, deletedAt: journal.now } as const
      await endServerJob(stores, journal, serverId, gone, 'done')
    },
    abandon: async (_, stores, journal) => await endServerJob(stores, journal, serverId, { taskState: null }, 'failed'),
  }),
}

async function releaseVolumes(stores: Stores, journal: Journal, serverId: string): Promise<void> {
  for (const attachment of await stores.attachments.list(ANY, { where: { serverId: { is: serverId } } })) {
    await stores.attachments.remove(attachment.id)
    const volume = await stores.volumes.find(ANY, attachment.volumeId)
    if (volume === undefined) continue
    // Cinder keeps a volume that has snapshots, whatever was asked when it was attached.
    const snapshots = await stores.snapshots.count(ANY, { volumeId: { is: volume.id } })
    const status = attachment.deleteOnTermination && snapshots === 0 ? 'deleting' : 'available'
    const from = ['in-use', 'detaching', 'attaching', 'reserved', 'uploading', 'extending'] as const
    const moved = await stores.volumes.transition(volume.id, from, { status, previousStatus: null, updatedAt: journal.now })
    await tellEvent(stores, journal, { projectId: volume.projectId, type: 'volume', id: volume.id, kind: `volume.${status}` })
    if (moved && status === 'deleting')
      await stores.jobs.enqueue(
        deleteVolume,
        { volumeId: volume.id, diskId: volume.diskId },
        { hostId: journal.hostId, origin: originOf(journal) },
      )
  }
}
