/**
 * Volumes as a tenant asks for them: reading, renaming, metadata, deletion. Creation, the actions and the attachments
 * are files of their own; `createVolumeService` hands them out as one. Statuses change by compare-and-set from the
 * states Cinder allows, in the transaction that also enqueues the job.
 */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Metadata } from '../../domain/metadata.js'
import { deleteVolume } from '../../domain/operations.js'
import type { Snapshot } from '../../domain/snapshot.js'
import { VOLUME_STATUSES, type Volume, type VolumeStatus } from '../../domain/volume.js'
import { ANY, type EnqueueOptions, type Query, type Scope, type Stores } from '../../ports/stores.js'
import {
  allowAdmin,
  allowMember,
  describeVolume,
  describeVolumes,
  findVolume,
  heldBy,
  holdVolume,
  invalidSnapshot,
  invalidVolume,
  originOf,
  recordEvent,
  type VolumeDeps,
  type VolumeRecord,
} from './access.js'
import { createVolumeAttaching } from './attaching.js'
import { requireItem, withoutItem } from './metadata.js'
import { enqueueSnapshotDeletion, isBeingDeleted } from './snapshot-deletion.js'
import { dropOffers } from './transfers.js'
import { createVolumeActions } from './volume-actions.js'
import { createVolumeCreation } from './volume-create.js'
import { createVolumeRevert } from './volume-revert.js'
import { createVolumeUpload } from './volume-upload.js'

export interface VolumeList {
  readonly query: Query<Volume>
  /** Admins only; ignored from others. */
  readonly allTenants: boolean
  readonly count: boolean
}

export interface MetadataChange {
  readonly metadata: Metadata
  readonly merge: boolean
  /** Asked of what is there, before anything is changed. */
  readonly expected?: ((metadata: Metadata) => boolean) | undefined
}

const DELETABLE: readonly VolumeStatus[] = ['available', 'error', 'error_restoring', 'error_extending']

export const createVolumeService = (deps: VolumeDeps) => ({
  ...createVolumeCreation(deps),
  ...createVolumeActions(deps),
  ...createVolumeAttaching(deps),
  ...createVolumeRevert(deps),
  ...createVolumeUpload(deps),

  showVolume: async (caller: Caller, id: string): Promise<VolumeRecord> =>
    describeVolume(deps.db.read, caller, await findVolume(deps.db.read, caller, id)),

  listVolumes: async (
    caller: Caller,
    { query, allTenants, count }: VolumeList,
  ): Promise<{ records: VolumeRecord[]; count: number | undefined }> => {
    const scope = listScope(caller, allTenants)
    const stores = deps.db.read
    if (query.after !== undefined && (await stores.volumes.find(scope, query.after)) === undefined)
      throw new DomainError('notFound', `Volume ${query.after} could not be found.`)
    const volumes = query.limit === 0 ? [] : await stores.volumes.list(scope, query)
    return {
      records: await describeVolumes(stores, caller, volumes),
      count: count ? await stores.volumes.count(scope, query.where) : undefined,
    }
  },

  /** Number, gibibytes, and every metadata value by key. */
  summarizeVolumes: async (caller: Caller, { query, allTenants }: Pick<VolumeList, 'query' | 'allTenants'>) => {
    const volumes = await deps.db.read.volumes.list(listScope(caller, allTenants), query)
    const metadata: Record<string, string[]> = {}
    for (const volume of volumes)
      for (const [key, value] of Object.entries(volume.metadata)) {
        const values = Object.hasOwn(metadata, key) ? (metadata[key] ?? []) : []
        if (!values.includes(value)) values.push(value)
        Object.defineProperty(metadata, key, { value: values, enumerable: true, configurable: true, writable: true })
      }
    return { count: volumes.length, sizeGib: volumes.reduce((sum, v) => sum + v.sizeGib, 0), metadata }
  },

  updateVolume: <R>(
    caller: Caller,
    id: string,
    patch: { name?: string | null; description?: string | null; metadata?: Metadata },
    reply: (record: VolumeRecord) => R,
  ): Promise<R> =>
    deps.db.transaction(async (stores) => {
      const volume = await findVolume(stores, caller, id)
      allowMember(caller, 'volume:update')
      if (volume.status === 'maintenance') throw invalidVolume('The volume cannot be updated during maintenance.')
      const updated = { ...patch, updatedAt: deps.clock.now() }
      await stores.volumes.update(id, updated)
      return reply(await describeVolume(stores, caller, { ...volume, ...updated }))
    }),

  showVolumeMetadata: async (caller: Caller, id: string): Promise<Metadata> => (await findVolume(deps.db.read, caller, id)).metadata,

  showVolumeMetadataItem: async (caller: Caller, id: string, key: string): Promise<string> => {
    const { metadata } = await findVolume(deps.db.read, caller, id)
    return requireItem('Volume', id, metadata, key)
  },

  /** `merge` keeps the keys that are not named. What is there and not as `expected` stays; the reply is told undefined. */
  setVolumeMetadata: <R>(
    caller: Caller,
    id: string,
    { metadata, merge, expected }: MetadataChange,
    reply: (metadata: Metadata | undefined) => R,
  ): Promise<R> =>
    deps.db.transaction(async (stores) => {
      const { updatedAt } = await findVolume(stores, caller, id)
      const volume = await holdVolume(deps, stores, caller, id)
      allowMember(caller, 'volume:update_volume_metadata')
      if (expected?.(volume.metadata) === false) {
        await stores.volumes.update(id, { updatedAt })
        return reply(undefined)
      }
      refuseMetadata(volume, 'Updating')
      const next = merge ? { ...volume.metadata, ...metadata } : metadata
      await stores.volumes.update(id, { metadata: next, updatedAt: deps.clock.now() })
      return reply(next)
    }),

  deleteVolumeMetadataItem: (caller: Caller, id: string, key: string): Promise<void> =>
    deps.db.transaction(async (stores) => {
      const volume = await holdVolume(deps, stores, caller, id)
      allowMember(caller, 'volume:delete_volume_metadata')
      refuseMetadata(volume, 'Deleting')
      const rest = withoutItem('Volume', id, volume.metadata, key)
      await stores.volumes.update(id, { metadata: rest, updatedAt: deps.clock.now() })
    }),

  /** `force` ignores the status (not attachments or snapshots); `cascade` takes the snapshots along. */
  deleteVolume: async (caller: Caller, id: string, { force, cascade }: { force: boolean; cascade: boolean }): Promise<void> => {
    await findVolume(deps.db.read, caller, id)
    if (force) allowAdmin(caller, 'volume:force_delete')
    allowMember(caller, 'volume:delete')
    const hostId = await deps.db.transaction((stores) => remove(deps, stores, caller, id, { force, cascade }))
    deps.doorbell.ring(hostId)
  },
})

export type VolumeService = ReturnType<typeof createVolumeService>

const listScope = (caller: Caller, allTenants: boolean): Scope => (caller.isAdmin && allTenants ? ANY : { projectId: caller.projectId })

function refuseMetadata(volume: Volume, doing: 'Updating' | 'Deleting'): void {
  if (volume.status === 'maintenance' || volume.status === 'uploading')
    throw invalidVolume(`${doing} volume metadata is not allowed for volumes in ${volume.status} status.`)
}

/**
 * The row is taken before anything is read: whoever is just accepting a snapshot holds it, and what they commit must be
 * seen here. What the reading forbids rolls the taking back.
 */
async function remove(
  deps: VolumeDeps,
  stores: Stores,
  caller: Caller,
  id: string,
  { force, cascade }: { force: boolean; cascade: boolean },
): Promise<string> {
  const from = force ? VOLUME_STATUSES : DELETABLE
  const taken = await stores.volumes.transition(id, from, { status: 'deleting', updatedAt: deps.clock.now() })
  const volume = await findVolume(stores, caller, id)
  const disk = await stores.disks.find(ANY, volume.diskId)
  if (disk === undefined) throw new DomainError('internal', `volume ${volume.id} has no disk`)
  const snapshots = await stores.snapshots.list(ANY, { where: { volumeId: { is: volume.id } } })
  const attached = (await stores.attachments.count(ANY, { volumeId: { is: volume.id } })) > 0
  // Snapshots that stayed behind in a transfer are not the new owner's to delete.
  const own = caller.isAdmin || snapshots.every((s) => s.projectId === volume.projectId)
  const unencumbered = cascade ? own && (force || snapshots.every((s) => CASCADES.includes(s.status))) : snapshots.length === 0
  if (!taken || attached || !unencumbered)
    throw invalidVolume(
      `Volume ${force ? '' : 'status must be available or error or error_restoring or error_extending or error_managing and'} must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.`,
      await heldBy(stores, `chain:${disk.id}`),
    )
  await dropOffers(stores, id)
  const options = { hostId: disk.hostId, origin: originOf(caller) }
  for (const snapshot of snapshots) await removeSnapshot(stores, snapshot, options)
  // Pressing twice must not delete twice: force accepts a volume that is on its way out.
  const underway = (await stores.jobs.unfinished('volume', volume.id)).some((job) => job.operation === deleteVolume.name)
  if (!underway) await stores.jobs.enqueue(deleteVolume, { volumeId: volume.id, diskId: disk.id }, options)
  await recordEvent(stores, deps, {
    projectId: volume.projectId,
    type: 'volume',
    resourceId: volume.id,
    kind: 'volume.delete',
    payload: { status: 'deleting' },
  })
  return disk.hostId
}

const CASCADES: readonly Snapshot['status'][] = ['available', 'error', 'deleting']

async function removeSnapshot(stores: Stores, snapshot: Snapshot, options: EnqueueOptions): Promise<void> {
  if (snapshot.status === 'deleting' && (await isBeingDeleted(stores, snapshot.id))) return
  if (!(await stores.snapshots.transition(snapshot.id, [snapshot.status], { status: 'deleting' })))
    throw invalidSnapshot(`Snapshot ${snapshot.id} changed its status while its volume was being deleted.`)
  await enqueueSnapshotDeletion(stores, snapshot, options)
}
