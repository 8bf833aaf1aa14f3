/**
 * create-server: the layers of its new disks, QEMU launched stopped, then set going. All of it can be undone until the rows
 * say it is there: a server that did not come up is ERROR with its reason, and leaves no process and no layer behind.
 */
import { type CreateServerInput, createServer } from '../domain/operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import { createLayers } from '../steps/create-layers.js'
import { launchGuest, resumeGuest } from '../steps/guest.js'
import { guestSpec } from '../steps/guest-spec.js'
import type { Journal, Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { forgetLayer, retire } from './retire.js'
import { endServerJob, faultOf, RUNNING } from './server-parts.js'
import { tellUser } from './tell.js'

export const createServerOperation: Operation<CreateServerInput, Tools> = {
  descriptor: createServer,
  plan: (input) => ({
    prepare: [
      createLayers(
        input.layers.map(({ diskId, layerId, parentLayerId, virtualSize }) => ({
          layerId,
          on: parentLayerId === null ? null : { layerId: parentLayerId },
          virtualSize,
          firstOf: diskId,
        })),
      ),
      launchGuest(input.serverId, (tools) => guestSpec(tools, input.serverId, input.diskIds)),
      resumeGuest(input.serverId),
    ],
    finish: [],
    async settle(_, stores, journal) {
      for (const diskId of input.diskIds) await stores.disks.update(diskId, { serverId: input.serverId })
      for (const volume of await volumesOf(stores, input)) {
        await stores.volumes.transition(volume.id, ['creating', 'available', 'reserved', 'attaching', 'downloading'], {
          status: 'in-use',
          previousStatus: null,
          updatedAt: journal.now,
        })
      }
      for (const attachment of await stores.attachments.list(ANY, { where: { serverId: { is: input.serverId } } }))
        await stores.attachments.transition(attachment.id, ['attaching'], { status: 'attached', attachedAt: journal.now })
      await endServerJob(stores, journal, input.serverId, { ...RUNNING, launchedAt: journal.now, fault: null }, 'done')
    },
    async abandon(_, stores, journal, { sentence }) {
      await giveUpDisks(stores, journal, input, sentence)
      const patch = { vmState: 'error', powerState: 0, taskState: null, fault: faultOf(journal, sentence) } as const
      await endServerJob(stores, journal, input.serverId, patch, 'failed')
    },
  }),
}

const volumesOf = async (stores: Stores, input: CreateServerInput) =>
  input.diskIds.length === 0 ? [] : await stores.volumes.list(ANY, { where: { diskId: { in: [...input.diskIds] } } })

/** Disks made with the server lose their layer (a volume among them is in error); those it only used are free again. */
async function giveUpDisks(stores: Stores, journal: Journal, input: CreateServerInput, sentence: string): Promise<void> {
  const made = new Set(input.layers.map((layer) => layer.diskId))
  for (const attachment of await stores.attachments.list(ANY, { where: { serverId: { is: input.serverId } } }))
    await stores.attachments.remove(attachment.id)
  for (const volume of await volumesOf(stores, input)) {
    const status = made.has(volume.diskId) ? 'error' : 'available'
    const from = ['creating', 'available', 'reserved', 'attaching', 'downloading', 'in-use'] as const
    await stores.volumes.transition(volume.id, from, { status, previousStatus: null, updatedAt: journal.now })
    const about = { projectId: volume.projectId, id: volume.id, type: 'VOLUME', action: 'create volume from backend storage' } as const
    if (status === 'error') await tellUser(stores, journal, { ...about, sentence })
    else await stores.disks.update(volume.diskId, { serverId: null })
  }
  for (const { diskId, layerId, parentLayerId } of input.layers) {
    await stores.disks.update(diskId, { topLayerId: null })
    await forgetLayer(stores, layerId)
    await retire(stores, parentLayerId, journal)
  }
}
