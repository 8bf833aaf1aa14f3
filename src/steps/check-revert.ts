/**
 * Looks before anything is touched: what was true when the revert was accepted may not be any more, for older jobs ran in
 * between. Changes nothing, so there is nothing to undo; what it finds wrong fails the job with a sentence.
 */
import { DomainError } from '../domain/errors.js'
import type { RevertServerInput } from '../domain/server-snapshot-operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import type { UndoableBrick } from './tools.js'

export const checkRevert = (input: RevertServerInput): UndoableBrick => ({
  kind: 'undoable',
  name: 'check-revert',
  probe: async () => 'absent',
  apply: async (_, tools) => await check(tools.db.read, input),
  undo: async () => {},
})

async function check(stores: Stores, { serverId, serverSnapshotId, disks, keptIn }: RevertServerInput): Promise<void> {
  const kept = keptIn === null ? null : await stores.serverSnapshots.find(ANY, keptIn)
  if (kept !== null && kept?.status !== 'available') throw refuse('The present could not be kept in a snapshot: nothing was changed.')
  if ((await stores.serverSnapshots.find(ANY, serverSnapshotId)) === undefined) throw refuse('The snapshot was deleted.')
  const saved = await stores.memoryStates.count(ANY, { serverId: { is: serverId }, serverSnapshotId: { is: null } })
  if (saved > 0) throw refuse('The server has a saved state: restore it or give it up first.')
  for (const { diskId } of disks) {
    const disk = await stores.disks.find(ANY, diskId)
    if (disk?.serverId !== serverId) throw refuse('A disk of the snapshot is not attached to the server any more.')
  }
}

const refuse = (sentence: string): DomainError => new DomainError('invalidState', sentence)
