/**
 * The rows of a new server: itself, its root disk, volumes made or reserved for it, attachments, and the job that
 * makes them true. `layers` of the job are what must be written, `diskIds` all that is plugged in at boot, root first.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import type { Disk } from '../../domain/disk.js'
import { DomainError } from '../../domain/errors.js'
import type { Pool } from '../../domain/host.js'
import type { Image } from '../../domain/image.js'
import { createServer, type NewLayer } from '../../domain/operations.js'
import type { Server } from '../../domain/server.js'
import type { Micros } from '../../domain/time.js'
import type { Volume } from '../../domain/volume.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { plannedLayer } from '../planned-layers.js'
import { takeVolumeQuota } from '../quota.js'
import { GIB } from '../volume/access.js'
import { requireDefaultType } from '../volume/type-lookup.js'
import { deviceAt } from './attachment-devices.js'
import { type DevicePlan, isExisting, type NewVolume, requireAvailable } from './server-create-devices.js'
import { enqueueOptions, recordAction } from './servers-common.js'

export interface Site {
  readonly pool: Pool
  readonly now: Micros
}

type Draft = Omit<Server, 'seq'>

export async function defaultPool(stores: Stores, hostId: string): Promise<Pool> {
  const [pool] = await stores.pools.list(ANY, { where: { hostId: { is: hostId }, isDefault: { is: true } }, limit: 1 })
  if (pool === undefined) throw new DomainError('unavailable', 'No valid host was found. There are not enough hosts available.')
  return pool
}

export async function insertServer(
  stores: Stores,
  caller: Caller,
  server: Draft,
  image: Image | undefined,
  plan: DevicePlan,
  site: Site,
): Promise<void> {
  await stores.servers.insert(server)
  const layers: NewLayer[] = []
  const diskIds: string[] = []
  if (plan.localRoot && image?.layerId != null) {
    const disk = await insertDisk(stores, server, site, 'root', rootBytes(server, image))
    layers.push(await insertLayer(stores, disk, image.layerId, site))
    diskIds.push(disk.id)
  }
  for (const [index, planned] of plan.volumes.entries()) {
    const { volumeId, diskId, layer } = isExisting(planned.use)
      ? await reserve(stores, server, planned.use, site)
      : await insertVolume(stores, caller, server, planned.use, site)
    if (layer !== undefined) layers.push(layer)
    diskIds.push(diskId)
    await stores.attachments.insert({
      id: randomUUID(),
      projectId: server.projectId,
      volumeId,
      diskId,
      serverId: server.id,
      device: deviceAt(plan.localRoot ? index + 1 : index),
      status: 'attaching',
      bootIndex: planned.bootIndex,
      deleteOnTermination: planned.deleteOnTermination,
      tag: planned.tag,
      attachedAt: null,
      createdAt: site.now,
    })
  }
  await recordAction(stores, caller, server, 'create', { now: site.now })
  await stores.jobs.enqueue(createServer, { serverId: server.id, layers, diskIds }, enqueueOptions(caller, server))
}

/** A flavor without a disk size takes the image's. */
const rootBytes = (server: Draft, image: Image): number =>
  server.flavor.diskGib > 0 ? server.flavor.diskGib * GIB : Math.max(image.virtualSize ?? image.size ?? 0, image.minDisk * GIB)

async function insertDisk(stores: Stores, server: Draft, site: Site, kind: Disk['kind'], virtualSize: number): Promise<Disk> {
  const disk: Disk = {
    id: randomUUID(),
    hostId: server.hostId,
    poolId: site.pool.id,
    projectId: server.projectId,
    kind,
    serverId: server.id,
    topLayerId: null,
    virtualSize,
    createdAt: site.now,
  }
  await stores.disks.insert(disk)
  return disk
}

async function insertLayer(stores: Stores, disk: Disk, parentLayerId: string | null, site: Site): Promise<NewLayer> {
  const layerId = randomUUID()
  await stores.layers.insert(plannedLayer(disk, layerId, parentLayerId, disk.virtualSize, site.now))
  return { diskId: disk.id, layerId, parentLayerId, virtualSize: disk.virtualSize }
}

interface Plugged {
  readonly volumeId: string
  readonly diskId: string
  readonly layer?: NewLayer
}

async function reserve(stores: Stores, server: Draft, volume: Volume, site: Site): Promise<Plugged> {
  if (!(await stores.volumes.transition(volume.id, ['available'], { status: 'reserved', updatedAt: site.now })))
    requireAvailable({ ...volume, status: (await stores.volumes.find(ANY, volume.id))?.status ?? 'deleting' })
  await stores.disks.update(volume.diskId, { serverId: server.id })
  return { volumeId: volume.id, diskId: volume.diskId }
}

async function insertVolume(stores: Stores, caller: Caller, server: Draft, wanted: NewVolume, site: Site): Promise<Plugged> {
  const { source, sizeGib, imageMetadata } = wanted
  const type = source.type ?? (await requireDefaultType(stores, server.projectId))
  const volumeId = randomUUID()
  await takeVolumeQuota(stores, server.projectId, volumeId, type.name, sizeGib).catch((error: unknown) => {
    if (!(error instanceof DomainError) || error.kind !== 'overQuota') throw error
    throw new DomainError('overQuota', 'Quota exceeded for resources: volumes', { cause: error })
  })
  const disk = await insertDisk(stores, server, site, 'volume', sizeGib * GIB)
  const layer = await insertLayer(stores, disk, source.kind === 'layer' ? source.layer.id : null, site)
  await stores.volumes.insert({
    id: volumeId,
    projectId: server.projectId,
    userId: caller.userId,
    diskId: disk.id,
    name: '',
    description: '',
    status: 'creating',
    previousStatus: null,
    sizeGib,
    bootable: source.bootable,
    readonly: false,
    metadata: {},
    imageMetadata,
    volumeTypeId: type.id,
    availabilityZone: server.availabilityZone,
    snapshotId: source.snapshotId,
    sourceVolumeId: null,
    imageId: source.imageId,
    createdAt: site.now,
    updatedAt: null,
  })
  return { volumeId, diskId: disk.id, layer }
}
