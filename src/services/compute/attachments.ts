/**
 * Volumes in servers: list, show, attach, detach. Accepting reserves the volume and writes the attachment row with the
 * device name the guest will see; plugging and unplugging is the job's. Works on a stopped server too: then the rows
 * alone decide what it boots with.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import { attachVolume, detachVolume } from '../../domain/operations.js'
import type { Attachment, Volume } from '../../domain/volume.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { refuseSaved } from '../saved-state.js'
import { heldBy } from '../volume/access.js'
import { nextDevice } from './attachment-devices.js'
import { requireAvailable } from './server-create-devices.js'
import {
  accept,
  attachmentsOf,
  type ComputeDeps,
  enqueueOptions,
  recordAction,
  requireServer,
  requireState,
  requireUnlocked,
  requireWriter,
  scopeOf,
} from './servers-common.js'

export interface AttachRequest {
  readonly volumeId: string
  readonly tag: string | null
  readonly deleteOnTermination: boolean
}

export type AttachmentService = ReturnType<typeof createAttachmentService>

export function createAttachmentService(deps: ComputeDeps) {
  const { db } = deps
  return {
    async list(caller: Caller, serverId: string, page: { limit?: number; offset?: number }): Promise<Attachment[]> {
      await requireServer(db.read, caller, serverId)
      const all = await attachmentsOf(db.read, serverId)
      const from = page.offset ?? 0
      return all.slice(from, page.limit === undefined ? undefined : from + page.limit)
    },

    async show(caller: Caller, serverId: string, volumeId: string): Promise<Attachment> {
      await requireServer(db.read, caller, serverId)
      const attachment = await find(db.read, serverId, volumeId)
      if (attachment === undefined) throw notAttached(serverId, volumeId)
      return attachment
    },

    async attach<R>(caller: Caller, serverId: string, wanted: AttachRequest, reply: (attachment: Attachment) => R): Promise<R> {
      return accept(deps, undefined, async (stores, now) => {
        const server = await requireServer(stores, caller, serverId)
        requireWriter(caller, 'os-volumes-attachments:create')
        requireUnlocked(caller, server)
        await requireState(stores, server, 'attach_volume', { vmState: ['active', 'paused', 'stopped'] })
        await refuseSaved(stores, serverId, 'attach_volume')
        const volume = await requireVolume(stores, caller, wanted.volumeId)
        const attached = await attachmentsOf(stores, serverId)
        if (attached.some((one) => one.volumeId === volume.id))
          throw new DomainError('invalid', `Invalid volume: volume ${volume.id} already attached`)
        await reserve(stores, volume, now)
        const attachment: Omit<Attachment, 'seq'> = {
          id: randomUUID(),
          projectId: server.projectId,
          volumeId: volume.id,
          diskId: volume.diskId,
          serverId,
          device: nextDevice(attached.map((one) => one.device)),
          status: 'attaching',
          bootIndex: null,
          deleteOnTermination: wanted.deleteOnTermination,
          tag: wanted.tag,
          attachedAt: null,
          createdAt: now,
        }
        await stores.attachments.insert(attachment)
        await recordAction(stores, caller, server, 'attach_volume', { now })
        const input = { attachmentId: attachment.id, volumeId: volume.id, diskId: volume.diskId, serverId }
        await stores.jobs.enqueue(attachVolume, input, enqueueOptions(caller, server))
        return reply({ ...attachment, seq: 0 })
      })
    },

    async detach<R>(caller: Caller, serverId: string, volumeId: string, reply: () => R): Promise<R> {
      return accept(deps, undefined, async (stores, now) => {
        const server = await requireServer(stores, caller, serverId)
        requireWriter(caller, 'os-volumes-attachments:delete')
        const volume = await requireVolume(stores, caller, volumeId)
        const attachment = await find(stores, serverId, volumeId)
        if (attachment === undefined) throw notAttached(serverId, volumeId)
        if (attachment.bootIndex === 0) throw new DomainError('invalid', 'Cannot detach a root device volume')
        requireUnlocked(caller, server)
        await requireState(stores, server, 'detach_volume', { vmState: ['active', 'suspended', 'paused', 'stopped'] })
        await refuseSaved(stores, serverId, 'detach_volume')
        await beginDetaching(stores, volume, attachment, now)
        await recordAction(stores, caller, server, 'detach_volume', { now })
        const input = { attachmentId: attachment.id, volumeId, diskId: volume.diskId, serverId }
        await stores.jobs.enqueue(detachVolume, input, enqueueOptions(caller, server))
        return reply()
      })
    },
  }
}

const notAttached = (serverId: string, volumeId: string) =>
  new DomainError('notFound', `Instance ${serverId} is not attached to volume ${volumeId}`)

async function find(stores: Stores, serverId: string, volumeId: string): Promise<Attachment | undefined> {
  const where = { serverId: { is: serverId }, volumeId: { is: volumeId } }
  const [attachment] = await stores.attachments.list(ANY, { where, limit: 1 })
  return attachment
}

async function requireVolume(stores: Stores, caller: Caller, id: string): Promise<Volume> {
  const volume = await stores.volumes.find(scopeOf(caller), id)
  if (volume === undefined) throw new DomainError('notFound', `Volume ${id} could not be found.`)
  return volume
}

async function reserve(stores: Stores, volume: Volume, now: number): Promise<void> {
  requireAvailable(volume)
  if (await stores.volumes.transition(volume.id, ['available'], { status: 'reserved', updatedAt: now })) return
  requireAvailable({ ...volume, status: (await stores.volumes.find(ANY, volume.id))?.status ?? 'deleting' })
}

async function beginDetaching(stores: Stores, volume: Volume, attachment: Attachment, now: number): Promise<void> {
  const volumeMoved = await stores.volumes.transition(volume.id, ['in-use'], { status: 'detaching', updatedAt: now })
  if (volumeMoved && (await stores.attachments.transition(attachment.id, ['attached'], { status: 'detaching' }))) return
  throw new DomainError(
    'invalid',
    "Invalid input received: Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.",
    await heldBy(stores, `chain:${volume.diskId}`),
  )
}
