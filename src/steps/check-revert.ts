/**
 * Looks before anything is touched: what was true when the revert was accepted may not be any more, for older jobs ran in
 * between. Changes nothing, so there is nothing to undo; what it finds wrong fails the job with a sentence.
 */
import { DomainError } from '../domain/errors.js'
import type { RevertServerInput } from '../domain/server-snapshot-operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import { requireSnapshotMemory } from './load-memory.js'
import { memoryOf, waysBack } from './revert-disks.js'
import type { Tools, UndoableBrick } from './tools.js'

export const checkRevert = (input: RevertServerInput): UndoableBrick => ({
  kind: 'undoable',
  name: 'check-revert',
  probe: async () => 'absent',
  async apply(_, tools) {
    await check(tools.db.read, input)
    if (input.withMemory) await checkMemory(tools, input)
  },
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

/** Intact, of this machine, and with disks that become exactly what it knows. */
async function checkMemory(tools: Tools, { serverId, serverSnapshotId, disks }: RevertServerInput): Promise<void> {
  for (const { kind, disk, part } of await waysBack(tools.db.read, disks)) {
    if (kind === 'copy') throw refuse('The memory cannot be loaded: a later snapshot was taken on top of the layer that holds it.')
    if (disk.virtualSize !== part.virtualSize) throw refuse('The memory cannot be loaded: a disk has another size since.')
  }
  await requireSnapshotMemory(tools, serverId, await memoryOf(tools.db.read, serverSnapshotId))
}

const refuse = (sentence: string): DomainError => new DomainError('invalidState', sentence)
