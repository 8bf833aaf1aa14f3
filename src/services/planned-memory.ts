/**
 * A guest's memory that is named now and saved by a job: its row (`planned`) and, where it is to be a file, its line in
 * the ledger of artefacts, written down before anything exists.
 */

import type { MemoryState } from '../domain/memory-state.js'
import { memoryFileName } from '../domain/names.js'
import type { Micros } from '../domain/time.js'
import { ANY, type Stores } from '../ports/stores.js'

export type PlannedMemory = Pick<
  MemoryState,
  'id' | 'projectId' | 'hostId' | 'serverId' | 'serverSnapshotId' | 'format' | 'poolId' | 'resumeAtStart' | 'wasRunning'
>

export async function planMemory(stores: Stores, memory: PlannedMemory, now: Micros): Promise<void> {
  const pool = await stores.pools.find(ANY, memory.poolId)
  if (pool === undefined) throw new TypeError(`memory is to be kept in the unknown pool ${memory.poolId}`)
  const fileName = memoryFileName(memory.id)
  await stores.memoryStates.insert({
    ...memory,
    fileName,
    status: 'planned',
    size: null,
    mac: null,
    keyId: null,
    binding: null,
    createdAt: now,
  })
  if (memory.format === 'tag') return
  await stores.artefacts.insert({
    id: `memory:${memory.id}`,
    kind: 'memory-file',
    hostId: memory.hostId,
    location: `${pool.path}/${fileName}`,
    ownerType: 'memory_state',
    ownerId: memory.id,
    createdAt: now,
  })
}
