/**
 * Volume snapshots: a snapshot is accepted with its row (`creating`, 0%), the overlay that will become the disk's new
 * top (`planned`) and the job, in one transaction; whether the disk is live is found out by the worker. Deleting
 * unpins. Requests in parallel are all accepted: their jobs queue for the chain.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import type { Disk } from '../../domain/disk.js'
import { DomainError } from '../../domain/errors.js'
import type { Metadata } from '../../domain/metadata.js'
import { createSnapshot as createSnapshotOperation } from '../../domain/operations.js'
import type { Quiesce, Snapshot, SnapshotStatus } from '../../domain/snapshot.js'
import type { Volume, VolumeStatus } from '../../domain/volume.js'
import { ANY, type Query, type Scope, type Stores } from '../../ports/stores.js'
import { tooDeep } from '../chain-depth.js'
import { planLayer } from '../planned-layers.js'
import { takeSnapshotQuota } from '../quota.js'
import { strategyFor } from '../snapshot-strategy.js'
import {
  allowAdmin,
  allowMember,
  findSnapshot,
  findVolume,
  heldBy,
  invalidSnapshot,
  invalidVolume,
  keepVolume,
  originOf,
  recordEvent,
  type VolumeDeps,
} from './access.js'
import { requireItem, withoutItem } from './metadata.js'
import { enqueueSnapshotDeletion, isBeingDeleted } from './snapshot-deletion.js'

export interface NewSnapshot {
  readonly volumeId: string
  readonly name: string | null
  readonly description: string | null
  readonly metadata: Metadata
  /** Asked by `force`, or not to be asked any more (3.66). */
  readonly alsoInUse: boolean
}

export interface SnapshotList {
  readonly query: Query<Snapshot>
  /** Admins only; ignored from others. */
  readonly allTenants: boolean
  readonly count: boolean
}

const DELETABLE: readonly SnapshotStatus[] = ['available', 'error']
/** What `os-update_snapshot_status`, Nova's call back, may do. */
const CALLBACK: Partial<Record<SnapshotStatus, readonly SnapshotStatus[]>> = {
  creating: ['creating', 'available', 'error'],
  deleting: ['deleting', 'error_deleting'],
}

export const createSnapshotService = (deps: VolumeDeps) => ({
  createSnapshot: async <R>(caller: Caller, request: NewSnapshot, reply: (snapshot: Snapshot) => R): Promise<R> => {
    const { answer, hostId } = await deps.db.transaction(async (stores) => {
      const volume = await findVolume(stores, caller, request.volumeId)
      allowMember(caller, 'volume:create_snapshot')
      const disk = await requireSnapshotable(stores, volume, request.alsoInUse)
      const deep = await tooDeep(stores, [disk])
      if (deep !== undefined) throw invalidVolume(deep, await heldBy(stores, `chain:${disk.id}`))
      await keepVolume(stores, volume)
      const snapshot = await accept(deps, stores, caller, { request, volume, disk })
      return { answer: reply(snapshot), hostId: disk.hostId }
    })
    deps.doorbell.ring(hostId)
    return answer
  },

  showSnapshot: (caller: Caller, id: string): Promise<Snapshot> => findSnapshot(deps.db.read, caller, id),

  listSnapshots: async (
    caller: Caller,
    { query, allTenants, count }: SnapshotList,
  ): Promise<{ snapshots: Snapshot[]; count: number | undefined }> => {
    const scope: Scope = caller.isAdmin && allTenants ? ANY : { projectId: caller.projectId }
    const stores = deps.db.read
    if (query.after !== undefined && (await stores.snapshots.find(scope, query.after)) === undefined)
      throw new DomainError('notFound', `Snapshot ${query.after} could not be found.`)
    return {
      snapshots: query.limit === 0 ? [] : await stores.snapshots.list(scope, query),
      count: count ? await stores.snapshots.count(scope, query.where) : undefined,
    }
  },

  updateSnapshot: <R>(
    caller: Caller,
    id: string,
    patch: { name?: string | null; description?: string | null },
    reply: (snapshot: Snapshot) => R,
  ): Promise<R> =>
    deps.db.transaction(async (stores) => {
      const snapshot = await findSnapshot(stores, caller, id)
      allowMember(caller, 'volume:update_snapshot')
      const updated = { ...patch, updatedAt: deps.clock.now() }
      await stores.snapshots.update(id, updated)
      return reply({ ...snapshot, ...updated })
    }),

  showSnapshotMetadata: async (caller: Caller, id: string): Promise<Metadata> => (await findSnapshot(deps.db.read, caller, id)).metadata,

  showSnapshotMetadataItem: async (caller: Caller, id: string, key: string): Promise<string> => {
    const { metadata } = await findSnapshot(deps.db.read, caller, id)
    return requireItem('Snapshot', id, metadata, key)
  },

  /** `merge` keeps the keys that are not named. */
  setSnapshotMetadata: <R>(caller: Caller, id: string, metadata: Metadata, merge: boolean, reply: (metadata: Metadata) => R): Promise<R> =>
    deps.db.transaction(async (stores) => {
      // Written before it is read: see holdVolume.
      await stores.snapshots.update(id, { updatedAt: deps.clock.now() })
      const snapshot = await findSnapshot(stores, caller, id)
      allowMember(caller, 'volume:update_snapshot_metadata')
      const next = merge ? { ...snapshot.metadata, ...metadata } : metadata
      await stores.snapshots.update(id, { metadata: next, updatedAt: deps.clock.now() })
      return reply(next)
    }),

  deleteSnapshotMetadataItem: (caller: Caller, id: string, key: string): Promise<void> =>
    deps.db.transaction(async (stores) => {
      // Written before it is read: see holdVolume.
      await stores.snapshots.update(id, { updatedAt: deps.clock.now() })
      const snapshot = await findSnapshot(stores, caller, id)
      allowMember(caller, 'volume:delete_snapshot_metadata')
      const rest = withoutItem('Snapshot', id, snapshot.metadata, key)
      await stores.snapshots.update(id, { metadata: rest, updatedAt: deps.clock.now() })
    }),

  deleteSnapshot: async (caller: Caller, id: string, children: 'share' | 'each' = 'share'): Promise<void> => {
    const hostId = await deps.db.transaction(async (stores) => {
      const snapshot = await findSnapshot(stores, caller, id)
      allowMember(caller, 'volume:delete_snapshot')
      if (!(await stores.snapshots.transition(id, DELETABLE, { status: 'deleting', updatedAt: deps.clock.now() })))
        throw invalidSnapshot(
          'Snapshot status must be available or error and must not be part of a group.',
          await heldBy(stores, `chain:${snapshot.diskId}`),
        )
      return remove(deps, stores, caller, snapshot, children)
    })
    deps.doorbell.ring(hostId)
  },

  /** From any status. A snapshot whose deletion is under way is not deleted again. */
  forceDeleteSnapshot: async (caller: Caller, id: string): Promise<void> => {
    const hostId = await deps.db.transaction(async (stores) => {
      const snapshot = await findSnapshot(stores, caller, id)
      allowAdmin(caller, 'volume_extension:snapshot_admin_actions:force_delete')
      if (await isBeingDeleted(stores, id)) return undefined
      await stores.snapshots.transition(id, [snapshot.status], { status: 'deleting', updatedAt: deps.clock.now() })
      return remove(deps, stores, caller, snapshot)
    })
    if (hostId !== undefined) deps.doorbell.ring(hostId)
  },

  resetSnapshotStatus: (caller: Caller, id: string, status: SnapshotStatus): Promise<void> =>
    deps.db.transaction(async (stores) => {
      const snapshot = await findSnapshot(stores, caller, id)
      allowAdmin(caller, 'volume_extension:snapshot_admin_actions:reset_status')
      await stores.snapshots.transition(id, [snapshot.status], { status, updatedAt: deps.clock.now() })
    }),

  /** `progress` is kept as it is written, e.g. "80%". */
  callBackSnapshotStatus: (caller: Caller, id: string, wanted: string, progress: string | undefined): Promise<void> =>
    deps.db.transaction(async (stores) => {
      const snapshot = await findSnapshot(stores, caller, id)
      allowMember(caller, 'snapshot_extension:snapshot_actions:update_snapshot_status')
      const targets = CALLBACK[snapshot.status]
      if (targets === undefined)
        throw new DomainError('invalid', `Snapshot status ${snapshot.status} not allowed for update_snapshot_status`)
      const status = targets.find((target) => target === wanted)
      if (status === undefined)
        throw new DomainError('invalid', `Provided snapshot status ${wanted} not allowed for snapshot with status ${snapshot.status}.`)
      const patch = { status, updatedAt: deps.clock.now(), ...(progress === undefined ? {} : { progress }) }
      await stores.snapshots.transition(id, [snapshot.status], patch)
    }),
})

export type SnapshotService = ReturnType<typeof createSnapshotService>

async function requireSnapshotable(stores: Stores, volume: Volume, alsoInUse: boolean): Promise<Disk> {
  const details = () => heldBy(stores, `chain:${volume.diskId}`)
  if (volume.status === 'maintenance')
    throw invalidVolume('The snapshot cannot be created when the volume is in maintenance mode.', await details())
  const disk = await stores.disks.find(ANY, volume.diskId)
  const allowed: readonly VolumeStatus[] = alsoInUse ? ['available', 'in-use'] : ['available']
  // A volume that was declared available by hand but never got its bytes is as good as one in error.
  if (volume.status === 'error' || (disk?.topLayerId == null && allowed.includes(volume.status)))
    throw invalidVolume('The snapshot cannot be created when the volume is in error status.', await details())
  if (disk === undefined || !allowed.includes(volume.status))
    throw invalidVolume(
      `Volume ${volume.id} status must be ${allowed.join(', ')}, but current status is: ${volume.status}.`,
      await details(),
    )
  return disk
}

async function accept(
  deps: VolumeDeps,
  stores: Stores,
  caller: Caller,
  { request, volume, disk }: { request: NewSnapshot; volume: Volume; disk: Disk },
): Promise<Snapshot> {
  const now = deps.clock.now()
  const [snapshotId, layerId] = [randomUUID(), randomUUID()]
  const strategy = await strategyFor(stores, [disk], disk.serverId)
  const type = await stores.volumeTypes.find(ANY, volume.volumeTypeId)
  await takeSnapshotQuota(stores, caller.projectId, snapshotId, type?.name ?? volume.volumeTypeId, volume.sizeGib)
  await stores.snapshots.insert({
    id: snapshotId,
    projectId: caller.projectId,
    userId: caller.userId,
    volumeId: volume.id,
    diskId: disk.id,
    serverId: disk.serverId,
    layerId: null,
    serverSnapshotId: null,
    parentId: null,
    strategy,
    name: request.name,
    description: request.description,
    status: 'creating',
    progress: '0%',
    sizeGib: volume.sizeGib,
    metadata: request.metadata,
    report: null,
    createdAt: now,
    updatedAt: null,
  })
  // What the overlay stands on is the top when the job runs: jobs accepted before may still put layers below it.
  await planLayer(stores, disk, { id: layerId, parentId: null, virtualSize: disk.virtualSize }, now)
  await stores.jobs.enqueue(
    createSnapshotOperation,
    {
      serverId: disk.serverId,
      switches: [{ diskId: disk.id, layerId }],
      snapshots: [{ snapshotId, diskId: disk.id }],
      quiesce: await quiesceOf(stores, disk.serverId),
      strategy,
      imageId: null,
    },
    { hostId: disk.hostId, origin: originOf(caller) },
  )
  await recordEvent(stores, deps, {
    projectId: caller.projectId,
    type: 'snapshot',
    resourceId: snapshotId,
    kind: 'snapshot.create',
    payload: { status: 'creating', volumeId: volume.id },
  })
  const stored = await stores.snapshots.find({ projectId: caller.projectId }, snapshotId)
  if (stored === undefined) throw new DomainError('internal', 'a snapshot vanished in its own transaction')
  return stored
}

async function remove(
  deps: VolumeDeps,
  stores: Stores,
  caller: Caller,
  snapshot: Snapshot,
  children: 'share' | 'each' = 'share',
): Promise<string> {
  const disk = await stores.disks.find(ANY, snapshot.diskId)
  const hostId = disk?.hostId ?? deps.settings.hostId
  await enqueueSnapshotDeletion(stores, snapshot, { hostId, origin: originOf(caller) }, children)
  await recordEvent(stores, deps, {
    projectId: snapshot.projectId,
    type: 'snapshot',
    resourceId: snapshot.id,
    kind: 'snapshot.delete',
    payload: { status: 'deleting' },
  })
  return hostId
}

const isYes = (value: string | undefined): boolean => ['yes', 'true', '1', 'on', 'y', 't'].includes((value ?? '').trim().toLowerCase())

/** What the image of the server asks for: no agent announced, none disturbed. */
export async function quiesceOf(stores: Stores, serverId: string | null): Promise<Quiesce> {
  const properties = serverId === null ? undefined : (await stores.servers.find(ANY, serverId))?.imageProperties
  if (isYes(properties?.['os_require_quiesce'])) return 'required'
  return isYes(properties?.['hw_qemu_guest_agent']) ? 'best_effort' : 'none'
}
