/**
 * Handing a volume to another project: offered under a key that is told once, accepted by whoever brings it. Accepting
 * is one transaction: volume, disk, snapshots (unless they stay behind) and what all of them count against change
 * hands together, or nothing does. No bytes move, so no worker is asked.
 */
import { createHmac, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Volume, VolumeTransfer } from '../../domain/volume.js'
import { ANY, type Query, type Stores } from '../../ports/stores.js'
import { checkVolumeSize, takeSnapshotQuota, takeVolumeQuota } from '../quota.js'
import { allowMember, findVolume, heldBy, invalidSnapshot, invalidVolume, recordEvent, scopeOf, type VolumeDeps } from './access.js'

export interface NewTransfer {
  readonly volumeId: string
  readonly name: string | null
  readonly noSnapshots: boolean
}

export const createVolumeTransferService = (deps: VolumeDeps) => ({
  /** `key` is in no other answer. */
  createTransfer: <R>(caller: Caller, wanted: NewTransfer, reply: (transfer: VolumeTransfer, key: string) => R): Promise<R> =>
    deps.db.transaction(async (stores) => {
      const volume = await findVolume(stores, caller, wanted.volumeId)
      allowMember(caller, 'volume:create_transfer')
      const now = deps.clock.now()
      if (!(await stores.volumes.transition(volume.id, ['available'], { status: 'awaiting-transfer', updatedAt: now })))
        throw invalidVolume('status must be available', await heldBy(stores, `chain:${volume.diskId}`))
      if (!wanted.noSnapshots)
        for (const snapshot of await stores.snapshots.list(ANY, { where: { volumeId: { is: volume.id } } }))
          if (snapshot.status !== 'available') throw invalidSnapshot(`snapshot: ${snapshot.id} status must be available`)
      const [salt, key] = [randomBytes(4).toString('hex'), randomBytes(8).toString('hex')]
      const transfer = { ...wanted, id: randomUUID(), projectId: volume.projectId, salt, keyHash: hash(salt, key), createdAt: now }
      // An operator may have reset the status under an earlier offer: its key opens nothing any more.
      await dropOffers(stores, volume.id)
      await stores.volumeTransfers.insert(transfer)
      await tell(deps, stores, volume, 'volume.transfer.create')
      return reply({ ...transfer, seq: 0 }, key)
    }),

  showTransfer: (caller: Caller, id: string): Promise<VolumeTransfer> => find(deps.db.read, caller, id),

  listTransfers: async (caller: Caller, query: Query<VolumeTransfer>, allTenants: boolean): Promise<VolumeTransfer[]> => {
    const scope = caller.isAdmin && allTenants ? ANY : { projectId: caller.projectId }
    if (query.after !== undefined && (await deps.db.read.volumeTransfers.find(scope, query.after)) === undefined)
      throw notFound(query.after)
    return query.limit === 0 ? [] : deps.db.read.volumeTransfers.list(scope, query)
  },

  /** The offer is taken back. */
  deleteTransfer: (caller: Caller, id: string): Promise<void> =>
    deps.db.transaction(async (stores) => {
      const { volumeId } = await find(stores, caller, id)
      allowMember(caller, 'volume:delete_transfer')
      await stores.volumeTransfers.remove(id)
      await stores.volumes.transition(volumeId, ['awaiting-transfer'], { status: 'available', updatedAt: deps.clock.now() })
    }),

  /** Found by its id alone: whoever has the key need not have seen the volume before. */
  acceptTransfer: <R>(caller: Caller, id: string, key: string, reply: (transfer: VolumeTransfer) => R): Promise<R> =>
    deps.db.transaction(async (stores) => {
      allowMember(caller, 'volume:accept_transfer')
      const transfer = await stores.volumeTransfers.find(ANY, id)
      if (transfer === undefined) throw notFound(id)
      const given = Buffer.from(hash(transfer.salt, key))
      if (!timingSafeEqual(given, Buffer.from(transfer.keyHash)))
        throw new DomainError('invalid', `Invalid auth key: Attempt to transfer ${id} with invalid auth key.`)
      const { volumeId } = transfer
      // An offer of one who has not the volume any more; held, so that it stays so.
      await stores.volumes.update(volumeId, { updatedAt: deps.clock.now() })
      if ((await stores.volumes.find(ANY, volumeId))?.projectId !== transfer.projectId) throw notFound(id)
      const hands = { projectId: caller.projectId, userId: caller.userId, updatedAt: deps.clock.now() }
      const moved = await stores.volumes.transition(volumeId, ['awaiting-transfer'], { ...hands, status: 'available' })
      const volume = await stores.volumes.find(ANY, volumeId)
      if (volume === undefined) throw new DomainError('notFound', `Volume ${volumeId} could not be found.`)
      if (!moved)
        throw invalidVolume(`Transfer ${id}: Volume id ${volumeId} in unexpected state ${volume.status}, expected awaiting-transfer`)
      await stores.disks.update(volume.diskId, { projectId: caller.projectId })
      await recount(stores, volume, transfer, hands)
      await dropOffers(stores, volumeId)
      await tell(deps, stores, volume, 'volume.transfer.accept')
      return reply(transfer)
    }),
})

export type VolumeTransferService = ReturnType<typeof createVolumeTransferService>

export async function dropOffers(stores: Stores, volumeId: string): Promise<void> {
  for (const offer of await stores.volumeTransfers.list(ANY, { where: { volumeId: { is: volumeId } } }))
    await stores.volumeTransfers.remove(offer.id)
}

/** What the giver's project had counted is given back before the taker's counts it: a volume may stay within one project. */
async function recount(
  stores: Stores,
  volume: Volume,
  transfer: VolumeTransfer,
  hands: { projectId: string; userId: string; updatedAt: number },
): Promise<void> {
  const { projectId } = hands
  const typeName = (await stores.volumeTypes.find(ANY, volume.volumeTypeId))?.name ?? volume.volumeTypeId
  await checkVolumeSize(stores, projectId, volume.sizeGib)
  await stores.quotas.release(volume.id)
  await takeVolumeQuota(stores, projectId, volume.id, typeName, volume.sizeGib)
  if (transfer.noSnapshots) return
  for (const snapshot of await stores.snapshots.list(ANY, { where: { volumeId: { is: volume.id } } })) {
    await stores.snapshots.update(snapshot.id, hands)
    await stores.quotas.release(snapshot.id)
    await takeSnapshotQuota(stores, projectId, snapshot.id, typeName, snapshot.sizeGib)
  }
}

const hash = (salt: string, key: string): string => createHmac('sha256', salt).update(key).digest('hex')

async function find(stores: Stores, caller: Caller, id: string): Promise<VolumeTransfer> {
  const transfer = await stores.volumeTransfers.find(scopeOf(caller), id)
  if (transfer === undefined) throw notFound(id)
  return transfer
}

const notFound = (id: string): DomainError => new DomainError('notFound', `Transfer ${id} could not be found.`)

const tell = (deps: VolumeDeps, stores: Stores, volume: Volume, kind: string): Promise<void> =>
  recordEvent(stores, deps, { projectId: volume.projectId, type: 'volume', resourceId: volume.id, kind })
