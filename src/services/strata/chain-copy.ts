/** The volume that a kept copy of a disk becomes: its rows and what it counts against, in the accepting transaction. */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import type { Pool } from '../../domain/host.js'
import type { Micros } from '../../domain/time.js'
import { ANY, type Stores } from '../../ports/stores.js'
import type { ServiceDeps } from '../deps.js'
import { checkVolumeSize, takeVolumeQuota } from '../quota.js'
import { GIB, recordEvent } from '../volume/access.js'
import { requireDefaultType } from '../volume/type-lookup.js'
import type { OwnedDisk } from './chain-disks.js'

export interface KeptCopy {
  readonly owned: OwnedDisk
  readonly pool: Pool
  readonly request: { readonly name: string | null; readonly description: string | null }
  readonly now: Micros
}

export async function planCopy(
  stores: Stores,
  deps: Pick<ServiceDeps, 'clock' | 'settings'>,
  caller: Caller,
  { owned: { disk, volume, server }, pool, request, now }: KeptCopy,
): Promise<{ diskId: string; volumeId: string }> {
  const { projectId } = disk
  const [diskId, volumeId] = [randomUUID(), randomUUID()]
  const own = volume === undefined ? undefined : await stores.volumeTypes.find(ANY, volume.volumeTypeId)
  const type = own ?? (await requireDefaultType(stores, projectId))
  const sizeGib = volume?.sizeGib ?? Math.max(1, Math.ceil(disk.virtualSize / GIB))
  await checkVolumeSize(stores, projectId, sizeGib)
  await takeVolumeQuota(stores, projectId, volumeId, type.name, sizeGib)
  await stores.disks.insert({
    ...{ id: diskId, hostId: disk.hostId, poolId: pool.id, projectId, kind: 'volume', serverId: null },
    ...{ topLayerId: null, virtualSize: disk.virtualSize, createdAt: now },
  })
  await stores.volumes.insert({
    id: volumeId,
    projectId,
    userId: caller.userId,
    diskId,
    ...request,
    status: 'creating',
    previousStatus: null,
    sizeGib,
    bootable: volume?.bootable ?? true,
    readonly: null,
    metadata: volume?.metadata ?? {},
    imageMetadata: volume?.imageMetadata ?? null,
    volumeTypeId: type.id,
    availabilityZone: deps.settings.availabilityZone,
    snapshotId: null,
    sourceVolumeId: volume?.id ?? null,
    imageId: volume === undefined ? (server?.imageId ?? null) : volume.imageId,
    createdAt: now,
    updatedAt: null,
  })
  const payload = { status: 'creating', size: sizeGib }
  await recordEvent(stores, deps, { projectId, type: 'volume', resourceId: volumeId, kind: 'volume.create', payload })
  return { diskId, volumeId }
}
