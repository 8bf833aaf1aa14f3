/** What every service on server snapshots begins with: finding them within the caller's scope, and what their picture needs. */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { MemoryState } from '../../domain/memory-state.js'
import type { Server } from '../../domain/server.js'
import type { DiskSnapshot, ServerSnapshot } from '../../domain/server-snapshot.js'
import { childrenIn } from '../../domain/snapshot-tree.js'
import type { Micros } from '../../domain/time.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { scopeOf } from '../volume/access.js'

export interface ServerSnapshotRecord {
  readonly snapshot: ServerSnapshot
  readonly children: readonly string[]
  /** The server's present grew from it. */
  readonly isCurrent: boolean
  /** In the order the guest has them. */
  readonly disks: readonly DiskSnapshot[]
  readonly memory: MemoryState | undefined
}

export const snapshotNotFound = (id: string): DomainError => new DomainError('notFound', `Server snapshot ${id} could not be found.`)

export async function requireServer(stores: Stores, caller: Caller, id: string): Promise<Server> {
  const server = await stores.servers.find(scopeOf(caller), id)
  if (server === undefined || server.vmState === 'deleted') throw new DomainError('notFound', `Server ${id} could not be found.`)
  return server
}

export async function requireServerSnapshot(stores: Stores, caller: Caller, id: string): Promise<ServerSnapshot> {
  const snapshot = await stores.serverSnapshots.find(scopeOf(caller), id)
  if (snapshot === undefined) throw snapshotNotFound(id)
  return snapshot
}

/** Oldest first, as a tree grows. */
export const snapshotsOf = async (stores: Stores, serverId: string): Promise<ServerSnapshot[]> =>
  await stores.serverSnapshots.list(ANY, { where: { serverId: { is: serverId } }, sort: [{ key: 'seq', dir: 'asc' }] })

/** Three look-ups for however many there are; `all` is every snapshot of the server. */
export async function describe(
  stores: Stores,
  serverId: string,
  all: readonly ServerSnapshot[],
  wanted: readonly ServerSnapshot[] = all,
): Promise<ServerSnapshotRecord[]> {
  if (wanted.length === 0) return []
  const where = { serverSnapshotId: { in: wanted.map((snapshot) => snapshot.id) } }
  const disks = await stores.diskSnapshots.list(ANY, { where, sort: [{ key: 'seq', dir: 'asc' }] })
  const memories = await stores.memoryStates.list(ANY, { where })
  const current = (await stores.servers.find(ANY, serverId))?.currentSnapshotId
  return wanted.map((snapshot) => ({
    snapshot,
    children: childrenIn(all, snapshot.id).map((child) => child.id),
    isCurrent: snapshot.id === current,
    disks: disks.filter((disk) => disk.serverSnapshotId === snapshot.id),
    memory: memories.find((memory) => memory.serverSnapshotId === snapshot.id),
  }))
}

export async function describeOne(stores: Stores, snapshot: ServerSnapshot): Promise<ServerSnapshotRecord> {
  const [record] = await describe(stores, snapshot.serverId, await snapshotsOf(stores, snapshot.serverId), [snapshot])
  if (record === undefined) throw new DomainError('internal', 'a server snapshot could not be described')
  return record
}

export async function recordSnapshotEvent(
  stores: Stores,
  event: { projectId: string; id: string; kind: string; payload?: object },
  now: Micros,
): Promise<void> {
  await stores.events.insert({
    id: randomUUID(),
    projectId: event.projectId,
    resourceType: 'server_snapshot',
    resourceId: event.id,
    kind: event.kind,
    payload: { ...event.payload },
    createdAt: now,
  })
}
