/**
 * What every volume service begins with: may this caller do this, does the thing exist for them, and who holds it.
 * A foreign object is answered exactly as a missing one; the rule that forbids is named only for one's own.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError, type ErrorDetails } from '../../domain/errors.js'
import type { Job } from '../../domain/job.js'
import type { Lock } from '../../domain/operation.js'
import type { Snapshot } from '../../domain/snapshot.js'
import type { Attachment, Volume, VolumeType } from '../../domain/volume.js'
import type { Clock } from '../../ports/clock.js'
import type { Doorbell } from '../../ports/doorbell.js'
import { ANY, type Database, type Origin, type Scope, type Stores } from '../../ports/stores.js'

export interface VolumeDeps {
  readonly db: Database
  readonly doorbell: Doorbell
  readonly clock: Clock
  readonly settings: VolumeSettings
}

export interface VolumeSettings {
  /** The host blank volumes are put on. */
  readonly hostId: string
  readonly availabilityZone: string
}

export const GIB = 1024 ** 3
export const DEFAULT_TYPE = '__DEFAULT__'

/** Admins reach every project's objects by id, as Cinder's admin context does; all others their own. */
export const scopeOf = (caller: Caller): Scope => (caller.isAdmin ? ANY : { projectId: caller.projectId })

export const originOf = (caller: Caller): Origin => ({
  projectId: caller.projectId,
  userId: caller.userId,
  requestId: caller.requestId,
})

export function allowMember(caller: Caller, rule: string): void {
  if (!caller.isAdmin && !caller.roles.includes('member')) throw notAllowed(rule)
}

export function allowAdmin(caller: Caller, rule: string): void {
  if (!caller.isAdmin) throw notAllowed(rule)
}

const notAllowed = (rule: string): DomainError => new DomainError('forbidden', `Policy doesn't allow ${rule} to be performed.`)

export const invalidVolume = (reason: string, details?: ErrorDetails): DomainError =>
  new DomainError('invalid', `Invalid volume: ${reason}`, details)
export const invalidSnapshot = (reason: string, details?: ErrorDetails): DomainError =>
  new DomainError('invalid', `Invalid snapshot: ${reason}`, details)
export const invalidInput = (reason: string): DomainError => new DomainError('invalid', `Invalid input received: ${reason}`)

export async function findVolume(stores: Stores, caller: Caller, id: string): Promise<Volume> {
  const volume = await stores.volumes.find(scopeOf(caller), id)
  if (volume === undefined) throw new DomainError('notFound', `Volume ${id} could not be found.`)
  return volume
}

/** Written before it is read: what is put together from what is there must not lose what another request adds meanwhile. */
export async function holdVolume({ clock }: Pick<VolumeDeps, 'clock'>, stores: Stores, caller: Caller, id: string): Promise<Volume> {
  await stores.volumes.update(id, { updatedAt: clock.now() })
  return await findVolume(stores, caller, id)
}

export async function findSnapshot(stores: Stores, caller: Caller, id: string): Promise<Snapshot> {
  const snapshot = await stores.snapshots.find(scopeOf(caller), id)
  if (snapshot === undefined) throw new DomainError('notFound', `Snapshot ${id} could not be found.`)
  return snapshot
}

/** For a refusal: which unfinished job has the resource now (N-20). */
export async function heldBy(stores: Stores, lock: Lock): Promise<ErrorDetails> {
  const job = await stores.jobs.holder(lock)
  return job === undefined ? {} : { extra: { holder: asHolder(job) } }
}

const asHolder = (job: Job) => ({ job_id: job.id, operation: job.operation, resource: { type: job.resourceType, id: job.resourceId } })

/** Holds the row until the commit and proves that nobody changed its status since we read it. */
export async function keepVolume(stores: Stores, volume: Volume): Promise<void> {
  if (await stores.volumes.transition(volume.id, [volume.status], { status: volume.status })) return
  throw invalidVolume(`Volume ${volume.id} changed its status while it was looked at.`)
}

export async function recordEvent(
  stores: Stores,
  deps: Pick<VolumeDeps, 'clock'>,
  event: { projectId: string; type: 'volume' | 'snapshot'; resourceId: string; kind: string; payload?: object },
): Promise<void> {
  await stores.events.insert({
    id: randomUUID(),
    projectId: event.projectId,
    resourceType: event.type,
    resourceId: event.resourceId,
    kind: event.kind,
    payload: { ...event.payload },
    createdAt: deps.clock.now(),
  })
}

/** A volume with what its picture needs beside its own row. */
export interface VolumeRecord {
  readonly volume: Volume
  readonly type: VolumeType | undefined
  readonly attachments: readonly Attachment[]
  /** `host@backend#pool`, for admins. */
  readonly location: string | null
}

/** Three look-ups for a page of any length; two more for admins. */
export async function describeVolumes(stores: Stores, caller: Caller, volumes: readonly Volume[]): Promise<VolumeRecord[]> {
  if (volumes.length === 0) return []
  const typeIds = [...new Set(volumes.map((v) => v.volumeTypeId))]
  const types = await stores.volumeTypes.list(ANY, { where: { id: { in: typeIds } } })
  const attachments = await stores.attachments.list(ANY, { where: { volumeId: { in: volumes.map((v) => v.id) } } })
  const locations = caller.isAdmin ? await locationsOf(stores, volumes) : new Map<string, string>()
  return volumes.map((volume) => ({
    volume,
    type: types.find((type) => type.id === volume.volumeTypeId),
    attachments: attachments.filter((attachment) => attachment.volumeId === volume.id),
    location: locations.get(volume.diskId) ?? null,
  }))
}

async function locationsOf(stores: Stores, volumes: readonly Volume[]): Promise<Map<string, string>> {
  const disks = await stores.disks.list(ANY, { where: { id: { in: volumes.map((v) => v.diskId) } } })
  const pools = await stores.pools.list(ANY)
  return new Map(
    disks.map((disk) => [disk.id, locationOf(disk.hostId, pools.find((pool) => pool.id === disk.poolId)?.name ?? disk.poolId)]),
  )
}

/** Cinder's way to say where: `host@backend#pool`. */
export const locationOf = (hostId: string, poolName: string): string => `${hostId}@strata#${poolName}`

export async function describeVolume(stores: Stores, caller: Caller, volume: Volume): Promise<VolumeRecord> {
  const [record] = await describeVolumes(stores, caller, [volume])
  if (record === undefined) throw new DomainError('internal', 'a volume could not be described')
  return record
}
