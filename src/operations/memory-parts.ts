/** What operations on saved memory share: its rows, and whose they are. */
import type { MemoryState } from '../domain/memory-state.js'
import { ANY, type Stores } from '../ports/stores.js'

/** The row of memory whose file is gone (or never was), and its place in the ledger. */
export async function forgetMemory(stores: Stores, id: string): Promise<void> {
  await stores.artefacts.remove(`memory:${id}`)
  await stores.memoryStates.remove(id)
}

/** Managed saves of a server: one at most, and perhaps one that is on its way out. */
export const savedStates = async (stores: Stores, serverId: string): Promise<MemoryState[]> =>
  await stores.memoryStates.list(ANY, { where: { serverId: { is: serverId }, serverSnapshotId: { is: null } } })

/** What server snapshots keep of their servers' memory. */
export const memoriesOf = async (stores: Stores, serverSnapshotIds: readonly string[]): Promise<MemoryState[]> =>
  await stores.memoryStates.list(ANY, { where: { serverSnapshotId: { in: [...serverSnapshotIds] } } })
