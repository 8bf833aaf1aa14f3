/** The job behind every way to delete a snapshot. */
import { type DeleteSnapshotInput, deleteSnapshot } from '../../domain/operations.js'
import type { Snapshot } from '../../domain/snapshot.js'
import type { EnqueueOptions, Stores } from '../../ports/stores.js'

export async function isBeingDeleted(stores: Stores, snapshotId: string): Promise<boolean> {
  return (await stores.jobs.unfinished('snapshot', snapshotId)).some((job) => job.operation === deleteSnapshot.name)
}

/** Unpinning needs no lock, but a snapshot still being made is waited for. */
export async function enqueueSnapshotDeletion(
  stores: Stores,
  snapshot: Snapshot,
  options: EnqueueOptions,
  children: DeleteSnapshotInput['children'] = 'share',
): Promise<void> {
  const making = (await stores.jobs.unfinished('snapshot', snapshot.id)).length > 0
  await stores.jobs.enqueue(
    deleteSnapshot,
    { snapshotId: snapshot.id, children },
    making ? { ...options, locks: [`chain:${snapshot.diskId}`] } : options,
  )
}
