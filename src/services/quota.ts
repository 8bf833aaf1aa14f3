/**
 * Quotas. A reservation belongs to the object it is for and is given back when that object's row goes; the store
 * counts and refuses, this file knows the names, the defaults and Cinder's sentences. Nova's callers use `takeQuota`
 * and word the shortfall themselves.
 */
import { DomainError } from '../domain/errors.js'
import { gigabyteAmounts, promisedGib, snapshotAmounts, volumeAmounts, volumeTypeAmounts } from '../domain/quota.js'
import type { Volume } from '../domain/volume.js'
import type { Stores } from '../ports/stores.js'

export interface Shortfall {
  readonly resource: string
  readonly limit: number
  readonly used: number
  readonly requested: number
}

/** What Cinder counts, in the order it shows them. */
export const VOLUME_RESOURCES = [
  'volumes',
  'per_volume_gigabytes',
  'snapshots',
  'gigabytes',
  'backups',
  'backup_gigabytes',
  'groups',
] as const

/** Cinder's own defaults, for resources the installation says nothing about. */
const FALLBACK: Readonly<Record<string, number>> = {
  volumes: 10,
  per_volume_gigabytes: -1,
  snapshots: 10,
  gigabytes: 1000,
  backups: 10,
  backup_gigabytes: 1000,
  groups: 10,
}

/** Reserves all amounts or none; a shortfall is thrown as `refuse` words it. */
export async function takeQuota(
  stores: Stores,
  projectId: string,
  objectId: string,
  amounts: Readonly<Record<string, number>>,
  refuse: (shortfall: Shortfall) => DomainError,
): Promise<void> {
  const shortfall = await stores.quotas.take(projectId, objectId, amounts)
  if (shortfall !== undefined) throw refuse(shortfall)
}

export const takeVolumeQuota = (stores: Stores, projectId: string, volumeId: string, typeName: string, sizeGib: number): Promise<void> =>
  takeQuota(stores, projectId, volumeId, volumeAmounts(typeName, sizeGib), volumeShortfall)

export const takeSnapshotQuota = (
  stores: Stores,
  projectId: string,
  snapshotId: string,
  typeName: string,
  sizeGib: number,
): Promise<void> => takeQuota(stores, projectId, snapshotId, snapshotAmounts(typeName, sizeGib), volumeShortfall)

export const takeGrowthQuota = (stores: Stores, projectId: string, volumeId: string, typeName: string, addedGib: number): Promise<void> =>
  takeQuota(stores, projectId, volumeId, gigabyteAmounts(typeName, addedGib), volumeShortfall)

/** Another type: the new one's limits are asked, then the volume counts against that one only. */
export async function moveTypeQuota(stores: Stores, volume: Volume, typeName: string): Promise<void> {
  const size = promisedGib(volume, await stores.jobs.unfinished('volume', volume.id))
  await takeQuota(stores, volume.projectId, volume.id, volumeTypeAmounts(typeName, size), volumeShortfall)
  await stores.quotas.hold(volume.projectId, volume.id, volumeAmounts(typeName, size))
}

/** The limit on one volume's size is no sum: it is compared, not reserved. */
export async function checkVolumeSize(stores: Stores, projectId: string, sizeGib: number): Promise<void> {
  const limit = limitOf(await stores.quotas.limits(projectId), 'per_volume_gigabytes')
  if (limit >= 0 && sizeGib > limit)
    throw overQuota('VolumeSizeExceedsLimit', `Requested volume size ${sizeGib} is larger than maximum allowed limit ${limit}.`)
}

/** A limit as set for the project, else the installation's default, else Cinder's; -1 is unlimited. */
export const limitOf = (limits: Readonly<Record<string, number>>, resource: string): number => limits[resource] ?? FALLBACK[resource] ?? -1

/** Cinder's words, which begin with the name of its exception. */
function volumeShortfall({ resource, limit, used, requested }: Shortfall): DomainError {
  if (resource.startsWith('gigabytes'))
    return overQuota(
      'VolumeSizeExceedsAvailableQuota',
      `Requested volume or snapshot exceeds allowed ${resource} quota. Requested ${requested}G, quota is ${limit}G and ${used}G has been consumed.`,
    )
  if (resource === 'snapshots') return overQuota('SnapshotLimitExceeded', `Maximum number of snapshots allowed (${limit}) exceeded`)
  if (resource.startsWith('snapshots'))
    return overQuota('SnapshotLimitExceeded', `Maximum number of snapshots allowed (${limit}) exceeded for quota '${resource}'.`)
  return overQuota('VolumeLimitExceeded', `Maximum number of volumes allowed (${limit}) exceeded for quota '${resource}'.`)
}

const overQuota = (name: string, sentence: string): DomainError => new DomainError('overQuota', `${name}: ${sentence}`, { retryAfter: 0 })
