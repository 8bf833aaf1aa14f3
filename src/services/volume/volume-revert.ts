/** Cinder's `revert`: a detached volume becomes what its latest snapshot holds; what was written since is given up. */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import { revertVolume } from '../../domain/server-snapshot-operations.js'
import type { Snapshot } from '../../domain/snapshot.js'
import type { Volume } from '../../domain/volume.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { planLayer } from '../planned-layers.js'
import { allowMember, findVolume, heldBy, originOf, recordEvent, type VolumeDeps } from './access.js'

export const createVolumeRevert = (deps: VolumeDeps) => ({
  revertVolume: async (caller: Caller, id: string, snapshotId: string | null): Promise<void> => {
    const hostId = await deps.db.transaction(async (stores) => {
      const volume = await findVolume(stores, caller, id)
      allowMember(caller, 'volume:revert_to_snapshot')
      const snapshot = await latestSnapshot(stores, volume, snapshotId)
      const now = deps.clock.now()
      const disk = await stores.disks.find(ANY, volume.diskId)
      const reverting = { status: 'reverting', previousStatus: volume.status, updatedAt: now } as const
      if (disk?.topLayerId == null || !(await stores.volumes.transition(id, ['available'], reverting)))
        throw await busy(stores, 'Invalid volume', volume, snapshot, 'Volume')
      const { layerId: snapshotLayerId } = snapshot
      const isTaken = snapshotLayerId !== null
      if (!isTaken || !(await stores.snapshots.transition(snapshot.id, ['available'], { status: 'restoring', updatedAt: now })))
        throw await busy(stores, 'Invalid snapshot', volume, snapshot, 'Snapshot')
      const layerId = randomUUID()
      await planLayer(stores, disk, { id: layerId, parentId: snapshotLayerId, virtualSize: disk.virtualSize }, now)
      const input = { volumeId: id, diskId: disk.id, snapshotId: snapshot.id, snapshotLayerId, layerId }
      await stores.jobs.enqueue(revertVolume, input, { hostId: disk.hostId, origin: originOf(caller) })
      const about = { projectId: volume.projectId, type: 'volume', resourceId: id, kind: 'volume.revert' } as const
      await recordEvent(stores, deps, { ...about, payload: { status: 'reverting', snapshotId: snapshot.id } })
      return disk.hostId
    })
    deps.doorbell.ring(hostId)
  },
})

async function latestSnapshot(stores: Stores, volume: Volume, wanted: string | null): Promise<Snapshot> {
  const where = { volumeId: { is: volume.id }, projectId: { is: volume.projectId } }
  const [latest] = await stores.snapshots.list(ANY, { where, sort: [{ key: 'seq', dir: 'desc' }], limit: 1 })
  if (latest === undefined) throw new DomainError('invalid', `Volume ${volume.id} doesn't have any snapshots.`)
  if (latest.id !== wanted)
    throw new DomainError('invalid', `Specified snapshot ${wanted ?? 'None'} is None or not the latest one of volume ${volume.id}.`)
  if (latest.sizeGib !== volume.sizeGib)
    throw new DomainError(
      'invalid',
      `Can't revert volume ${volume.id} to its latest snapshot ${latest.id}. The volume size must be equal to the snapshot size.`,
    )
  return latest
}

/** A wrong state is a conflict here, unlike anywhere else in Cinder. */
async function busy(stores: Stores, what: string, volume: Volume, snapshot: Snapshot, whose: 'Volume' | 'Snapshot'): Promise<DomainError> {
  return new DomainError(
    'busy',
    `${what}: Can't revert volume ${volume.id} to its latest snapshot ${snapshot.id}. ${whose}'s status must be 'available'.`,
    await heldBy(stores, `chain:${volume.diskId}`),
  )
}
