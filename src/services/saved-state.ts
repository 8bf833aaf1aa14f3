/**
 * A server's saved state (its memory in a file, its QEMU ended) as services meet it: planned, looked up, given up, and what
 * must not be done to a server that has one. Its disks stay as the saved memory knows them until it is restored or discarded.
 */
import { randomUUID } from 'node:crypto'
import { DomainError } from '../domain/errors.js'
import { discardSaved, type SaveServerInput, saveServer } from '../domain/memory-operations.js'
import type { MemoryState } from '../domain/memory-state.js'
import type { Server } from '../domain/server.js'
import type { Micros } from '../domain/time.js'
import { ANY, type EnqueueOptions, type Stores } from '../ports/stores.js'
import { planMemory } from './planned-memory.js'

const managed = (serverId: string) => ({ serverId: { is: serverId }, serverSnapshotId: { is: null } })

export async function savedStateOf(stores: Stores, serverId: string): Promise<MemoryState | undefined> {
  return (await stores.memoryStates.list(ANY, { where: { ...managed(serverId), status: { is: 'saved' } }, limit: 1 }))[0]
}

/** Nor while it is being saved or given up. */
export async function refuseSaved(stores: Stores, serverId: string, action: string): Promise<void> {
  if ((await stores.memoryStates.count(ANY, managed(serverId))) === 0) return
  throw new DomainError(
    'busy',
    `Cannot '${action}' instance ${serverId} while it has a saved state: resume the server or discard the state`,
  )
}

/** Beside its first disk. Returns the id of the state and of the job. */
export async function enqueueSave(
  stores: Stores,
  server: Server,
  options: { diskIds: string[]; becomes: SaveServerInput['becomes']; resumeAtStart: boolean; now: Micros; enqueue: EnqueueOptions },
): Promise<{ memoryStateId: string; jobId: string }> {
  const { diskIds, becomes, resumeAtStart, now, enqueue } = options
  const memoryStateId = randomUUID()
  const { id: serverId, projectId, hostId } = server
  const disk = diskIds[0] === undefined ? undefined : await stores.disks.find(ANY, diskIds[0])
  const [usual] = await stores.pools.list(ANY, { where: { hostId: { is: hostId }, isDefault: { is: true } }, limit: 1 })
  const poolId = disk?.poolId ?? usual?.id ?? ''
  const state = { id: memoryStateId, projectId, hostId, serverId, serverSnapshotId: null, poolId, format: 'stream', resumeAtStart } as const
  await planMemory(stores, { ...state, wasRunning: server.vmState === 'active' }, now)
  const jobId = await stores.jobs.enqueue(saveServer, { serverId, diskIds, memoryStateId, becomes }, enqueue)
  return { memoryStateId, jobId }
}

/** From now on it counts for nothing; its file goes by a job. Undefined: there is none. */
export async function giveUpSaved(
  stores: Stores,
  server: Server,
  options: { diskIds: string[]; now: Micros; enqueue: EnqueueOptions },
): Promise<string | undefined> {
  const state = await savedStateOf(stores, server.id)
  if (state === undefined || !(await stores.memoryStates.transition(state.id, ['saved'], { status: 'planned' }))) return undefined
  await stores.events.insert({
    id: randomUUID(),
    projectId: server.projectId,
    resourceType: 'server',
    resourceId: server.id,
    kind: 'server.saved-state-discarded',
    payload: { memoryStateId: state.id, requestId: options.enqueue.origin.requestId, userId: options.enqueue.origin.userId },
    createdAt: options.now,
  })
  const input = { serverId: server.id, diskIds: options.diskIds, memoryStateId: state.id }
  return await stores.jobs.enqueue(discardSaved, input, options.enqueue)
}
