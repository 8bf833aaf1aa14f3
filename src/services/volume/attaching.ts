/**
 * Cinder's half of attaching: reservation and the record. Plugging a disk into a guest is Nova's call
 * (`os-volume_attachments`) and a job; what is written here plugs nothing, and what that job plugged is not
 * pulled out from here.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { VmState } from '../../domain/server.js'
import type { Attachment, Volume } from '../../domain/volume.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { allowAdmin, allowMember, findVolume, heldBy, invalidVolume, scopeOf, type VolumeDeps } from './access.js'

export const createVolumeAttaching = (deps: VolumeDeps) => {
  const now = () => deps.clock.now()
  return {
    reserveVolume: (caller: Caller, id: string): Promise<void> =>
      deps.db.transaction(async (stores) => {
        const volume = await findVolume(stores, caller, id)
        allowMember(caller, 'volume_extension:volume_actions:reserve')
        if (!(await stores.volumes.transition(id, ['available'], { status: 'attaching', updatedAt: now() })))
          throw invalidVolume(
            `Volume status must be available to reserve, but the status is ${volume.status}.`,
            await heldBy(stores, `chain:${volume.diskId}`),
          )
      }),

    /** Of a volume that is not reserved: nothing, and no complaint. */
    unreserveVolume: (caller: Caller, id: string): Promise<void> =>
      deps.db.transaction(async (stores) => {
        const volume = await findVolume(stores, caller, id)
        allowMember(caller, 'volume_extension:volume_actions:unreserve')
        await refusePlugged(stores, volume)
        const attached = (await attachmentsOf(stores, volume)).length > 0
        await stores.volumes.transition(id, ['attaching'], { status: attached ? 'in-use' : 'available', updatedAt: now() })
      }),

    attachVolume: (caller: Caller, id: string, target: { serverId: string; device: string }): Promise<void> =>
      deps.db.transaction(async (stores) => {
        const volume = await findVolume(stores, caller, id)
        allowMember(caller, 'volume_extension:volume_actions:attach')
        await keepServer(stores, caller, target.serverId)
        const attached = (await attachmentsOf(stores, volume)).length > 0
        if (attached || !(await stores.volumes.transition(id, ['available', 'attaching'], { status: 'in-use', updatedAt: now() })))
          throw invalidVolume('status must be available or attaching', await heldBy(stores, `chain:${volume.diskId}`))
        await stores.attachments.insert({
          id: randomUUID(),
          projectId: volume.projectId,
          volumeId: id,
          diskId: volume.diskId,
          serverId: target.serverId,
          device: target.device,
          status: 'attached',
          bootIndex: null,
          deleteOnTermination: false,
          tag: null,
          attachedAt: now(),
          createdAt: now(),
        })
      }),

    detachVolume: (caller: Caller, id: string, attachmentId: string | null): Promise<void> =>
      deps.db.transaction(async (stores) => {
        const volume = await findVolume(stores, caller, id)
        allowMember(caller, 'volume_extension:volume_actions:detach')
        await unrecord(stores, volume, attachmentId, now())
      }),

    forceDetachVolume: (caller: Caller, id: string, attachmentId: string | null): Promise<void> =>
      deps.db.transaction(async (stores) => {
        const volume = await findVolume(stores, caller, id)
        allowAdmin(caller, 'volume_extension:volume_admin_actions:force_detach')
        await unrecord(stores, volume, attachmentId, now())
      }),

    beginDetachingVolume: (caller: Caller, id: string): Promise<void> =>
      deps.db.transaction(async (stores) => {
        const volume = await findVolume(stores, caller, id)
        allowMember(caller, 'volume_extension:volume_actions:begin_detaching')
        const attached = (await attachmentsOf(stores, volume)).length > 0
        if (!attached || !(await stores.volumes.transition(id, ['in-use'], { status: 'detaching', updatedAt: now() })))
          throw invalidVolume(
            "Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.",
            await heldBy(stores, `chain:${volume.diskId}`),
          )
      }),

    rollDetachingVolume: (caller: Caller, id: string): Promise<void> =>
      deps.db.transaction(async (stores) => {
        const volume = await findVolume(stores, caller, id)
        allowMember(caller, 'volume_extension:volume_actions:roll_detaching')
        // Nothing to roll back to while Nova's detach is at work; otherwise it is the way out of `begin_detaching`, plugged or not.
        if ((await stores.jobs.unfinished('volume', id)).length > 0) await refusePlugged(stores, volume)
        await stores.volumes.transition(id, ['detaching'], { status: 'in-use', updatedAt: now() })
      }),
  }
}

const THERE: readonly VmState[] = ['building', 'active', 'paused', 'suspended', 'stopped', 'error']

/**
 * Cinder asks nobody here, and would record an attachment to a server nobody ever made; we know. A deletion frees the
 * server's volumes once, so the row is held until the commit, and whoever is being deleted is as good as gone.
 */
async function keepServer(stores: Stores, caller: Caller, id: string): Promise<void> {
  const seen = await stores.servers.find(scopeOf(caller), id)
  const held = seen !== undefined && (await stores.servers.transition(id, { vmState: THERE }, { hostId: seen.hostId }))
  if (!held || (await stores.servers.find(ANY, id))?.taskState === 'deleting')
    throw new DomainError('notFound', `Instance ${id} could not be found.`)
}

const attachmentsOf = (stores: Stores, volume: Volume): Promise<Attachment[]> =>
  stores.attachments.list(ANY, { where: { volumeId: { is: volume.id } } })

async function unrecord(stores: Stores, volume: Volume, attachmentId: string | null, now: number): Promise<void> {
  const all = await attachmentsOf(stores, volume)
  const found = attachmentId === null ? all[0] : all.find((attachment) => attachment.id === attachmentId)
  if (found === undefined && attachmentId !== null)
    throw new DomainError('notFound', `Volume attachment could not be found with filter: attachment_id = ${attachmentId}.`)
  await refusePlugged(stores, volume)
  if (found === undefined) {
    await stores.volumes.transition(volume.id, ['attaching', 'detaching', 'in-use'], { status: 'available', updatedAt: now })
    return
  }
  await stores.attachments.remove(found.id)
  await stores.volumes.transition(volume.id, [volume.status], { status: 'available', updatedAt: now })
}

/** A disk its guest writes to, or is about to, is let go by Nova's call alone. */
async function refusePlugged(stores: Stores, volume: Volume): Promise<void> {
  const disk = await stores.disks.find(ANY, volume.diskId)
  const jobs = await stores.jobs.unfinished('volume', volume.id)
  if (disk?.serverId == null && jobs.length === 0) return
  const instance = disk?.serverId ?? (await attachmentsOf(stores, volume))[0]?.serverId ?? ''
  throw new DomainError(
    'busy',
    `Detach volume from instance ${instance} using the Compute API`,
    await heldBy(stores, `chain:${volume.diskId}`),
  )
}
