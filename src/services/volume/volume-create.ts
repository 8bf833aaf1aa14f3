/**
 * POST of a volume: blank, or an overlay on the sealed layer of an image, a snapshot or (through `clone-volume`, which
 * seals it first) another volume. Everything is refused or recorded in one transaction; the bytes are the worker's.
 *
 *   blank             from image or snapshot          from volume (both chains change)
 *   [new]             layer ◄── [new]                 old top ◄── [new]
 *                                                             ◄── [source's new top]
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import type { Disk } from '../../domain/disk.js'
import { DomainError } from '../../domain/errors.js'
import type { Pool } from '../../domain/host.js'
import { cloneVolume, createVolume as createVolumeOperation } from '../../domain/operations.js'
import type { Volume, VolumeType } from '../../domain/volume.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { tooDeep } from '../chain-depth.js'
import { planLayer } from '../planned-layers.js'
import { checkVolumeSize, takeVolumeQuota } from '../quota.js'
import {
  allowMember,
  describeVolume,
  GIB,
  invalidInput,
  invalidVolume,
  originOf,
  recordEvent,
  type VolumeDeps,
  type VolumeRecord,
} from './access.js'
import { findTypeByNameOrId, requireDefaultType } from './type-lookup.js'
import { type NewVolume, resolveSource, type VolumeSource } from './volume-source.js'

export const createVolumeCreation = (deps: VolumeDeps) => ({
  createVolume: async <R>(caller: Caller, request: NewVolume, reply: (record: VolumeRecord) => R): Promise<R> => {
    allowMember(caller, 'volume:create')
    const { answer, hostId } = await deps.db.transaction(async (stores) => {
      const asked = request.volumeType === null ? undefined : await findTypeByNameOrId(stores, caller, request.volumeType)
      const { unsupported } = request
      if (unsupported !== null) throw new DomainError('notFound', `${unsupported.what} ${unsupported.id} could not be found.`)
      const source = await resolveSource(stores, caller, request)
      const deep = source.kind === 'volume' ? await tooDeep(stores, [source.disk]) : undefined
      if (deep !== undefined) throw invalidVolume(deep)
      const type = asked ?? source.type ?? (await requireDefaultType(stores, caller.projectId))
      const sizeGib = sizeFor(request, source)
      if (request.availabilityZone !== null && request.availabilityZone !== deps.settings.availabilityZone)
        throw new DomainError('invalid', `Availability zone '${request.availabilityZone}' is invalid.`)
      const accepted = await accept(deps, stores, caller, { request, source, type, sizeGib })
      return { answer: reply(await describeVolume(stores, caller, accepted.volume)), hostId: accepted.hostId }
    })
    deps.doorbell.ring(hostId)
    return answer
  },
})

function sizeFor(request: NewVolume, source: VolumeSource): number {
  const size = request.sizeGib ?? source.defaultSizeGib
  if (size === null)
    throw new DomainError('invalid', 'The server could not comply with the request since it is either malformed or otherwise incorrect.')
  if (!Number.isSafeInteger(size) || size <= 0)
    throw invalidInput(
      `Invalid volume size provided for create request: ${size} (size argument must be an integer (or string representation of an integer) and greater than zero).`,
    )
  source.checkSize(size)
  return size
}

interface Wanted {
  readonly request: NewVolume
  readonly source: VolumeSource
  readonly type: VolumeType
  readonly sizeGib: number
}

async function accept(deps: VolumeDeps, stores: Stores, caller: Caller, wanted: Wanted): Promise<{ volume: Volume; hostId: string }> {
  const { request, source, type, sizeGib } = wanted
  const now = deps.clock.now()
  const pool = await poolFor(deps, stores, source)
  const [volumeId, diskId, layerId] = [randomUUID(), randomUUID(), randomUUID()]
  await checkVolumeSize(stores, caller.projectId, sizeGib)
  await takeVolumeQuota(stores, caller.projectId, volumeId, type.name, sizeGib)

  const disk: Disk = {
    id: diskId,
    hostId: pool.hostId,
    poolId: pool.id,
    projectId: caller.projectId,
    kind: 'volume',
    serverId: null,
    topLayerId: null,
    virtualSize: sizeGib * GIB,
    createdAt: now,
  }
  await stores.disks.insert(disk)
  const volume: Omit<Volume, 'seq'> = {
    id: volumeId,
    projectId: caller.projectId,
    userId: caller.userId,
    diskId,
    name: request.name,
    description: request.description,
    status: 'creating',
    previousStatus: null,
    sizeGib,
    bootable: source.bootable,
    readonly: null,
    metadata: request.metadata,
    imageMetadata: source.imageMetadata,
    volumeTypeId: type.id,
    availabilityZone: deps.settings.availabilityZone,
    snapshotId: source.snapshotId,
    sourceVolumeId: source.volumeId,
    imageId: source.imageId,
    createdAt: now,
    updatedAt: null,
  }
  await stores.volumes.insert(volume)
  await plan(stores, caller, { volumeId, disk, layerId, source, now })
  await recordEvent(stores, deps, {
    projectId: caller.projectId,
    type: 'volume',
    resourceId: volumeId,
    kind: 'volume.create',
    payload: { status: 'creating', size: sizeGib },
  })
  const stored = await stores.volumes.find({ projectId: caller.projectId }, volumeId)
  if (stored === undefined) throw new DomainError('internal', 'a volume vanished in its own transaction')
  return { volume: stored, hostId: pool.hostId }
}

/** Layer rows and the job that makes them true. */
async function plan(
  stores: Stores,
  caller: Caller,
  { volumeId, disk, layerId, source, now }: { volumeId: string; disk: Disk; layerId: string; source: VolumeSource; now: number },
): Promise<void> {
  const options = { hostId: disk.hostId, origin: originOf(caller) }
  if (source.kind === 'volume') {
    const overlayId = randomUUID()
    // What both will stand on is the source's top when the job runs, which older jobs may still change.
    await planLayer(stores, disk, { id: layerId, parentId: null, virtualSize: disk.virtualSize }, now)
    await planLayer(stores, source.disk, { id: overlayId, parentId: null, virtualSize: source.disk.virtualSize }, now)
    await stores.jobs.enqueue(
      cloneVolume,
      {
        volumeId,
        diskId: disk.id,
        layerId,
        virtualSize: disk.virtualSize,
        source: { diskId: source.disk.id, layerId: overlayId },
        sourceServerId: source.disk.serverId,
      },
      options,
    )
    return
  }
  const parentLayerId = source.kind === 'layer' ? source.layer.id : null
  await planLayer(stores, disk, { id: layerId, parentId: parentLayerId, virtualSize: disk.virtualSize }, now)
  const layer = { diskId: disk.id, layerId, parentLayerId, virtualSize: disk.virtualSize }
  await stores.jobs.enqueue(createVolumeOperation, { volumeId, layer }, options)
}

/** An overlay lies beside what it stands on; a blank volume goes to the default pool. */
async function poolFor(deps: VolumeDeps, stores: Stores, source: VolumeSource): Promise<Pool> {
  const poolId = source.kind === 'layer' ? source.layer.poolId : source.kind === 'volume' ? source.disk.poolId : undefined
  const pool =
    poolId === undefined
      ? (await stores.pools.list(ANY, { where: { hostId: { is: deps.settings.hostId }, isDefault: { is: true } }, limit: 1 }))[0]
      : await stores.pools.find(ANY, poolId)
  if (pool === undefined) throw new DomainError('unavailable', 'No valid backend was found. No pool is available for the volume.')
  return pool
}
