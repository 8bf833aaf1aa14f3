/** Server snapshots as a caller sees them: taken, listed, shown, changed, deleted. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Job } from '../../domain/job.js'
import type { Metadata } from '../../domain/metadata.js'
import type { ServerSnapshot } from '../../domain/server-snapshot.js'
import { descendantsIn, leavesIn, rootsIn } from '../../domain/snapshot-tree.js'
import type { Micros } from '../../domain/time.js'
import { ANY, Duplicate, type Stores } from '../../ports/stores.js'
import type { ServiceDeps } from '../deps.js'
import { allowMember } from '../volume/access.js'
import { costOf, type SnapshotCost } from './server-snapshot-bytes.js'
import { checkExpiry, createSnapshotOfServer, type NewServerSnapshot, taken } from './server-snapshot-create.js'
import { type Deletion, type DeletionResult, deleteExpired, deleteMany, deleteOne } from './server-snapshot-delete.js'
import { type SnapshotTree, treeOf } from './server-snapshot-tree.js'
import {
  describe,
  describeOne,
  requireServer,
  requireServerSnapshot,
  type ServerSnapshotRecord,
  snapshotNotFound,
  snapshotsOf,
} from './server-snapshots-common.js'

/** At a time: a clock that went wrong is noticed before everything is gone. */
const MOST_EXPIRED = 100

export interface SnapshotFilter {
  readonly view: 'list' | 'roots' | 'leaves'
  readonly descendantsOf?: string | undefined
  readonly name?: string | undefined
}

export interface ServerSnapshotDetail {
  readonly record: ServerSnapshotRecord
  readonly jobs: readonly Job[]
  /** Undefined: not asked for. */
  readonly cost: SnapshotCost | undefined
}

export interface SnapshotChange {
  readonly name?: string | undefined
  readonly description?: string | null | undefined
  readonly metadata?: Metadata | undefined
  readonly protected?: boolean | undefined
  readonly expiresAt?: Micros | null | undefined
}

export type ServerSnapshotService = ReturnType<typeof createServerSnapshotService>

export const createServerSnapshotService = (deps: Pick<ServiceDeps, 'db' | 'clock' | 'doorbell' | 'auditor'>) => ({
  create: <R>(
    caller: Caller,
    serverId: string,
    request: NewServerSnapshot,
    reply: (record: ServerSnapshotRecord, jobId: string) => R,
  ): Promise<R> => createSnapshotOfServer(deps, caller, serverId, request, reply),

  async list(caller: Caller, serverId: string, { view, descendantsOf, name }: SnapshotFilter): Promise<ServerSnapshotRecord[]> {
    const { read } = deps.db
    await requireServer(read, caller, serverId)
    const all = await snapshotsOf(read, serverId)
    if (descendantsOf !== undefined && !all.some((snapshot) => snapshot.id === descendantsOf)) throw snapshotNotFound(descendantsOf)
    const inBranch = descendantsOf === undefined ? all : descendantsIn(all, descendantsOf)
    const seen = view === 'roots' ? rootsIn(inBranch) : view === 'leaves' ? leavesIn(inBranch) : inBranch
    return await describe(
      read,
      serverId,
      all,
      seen.filter((snapshot) => name === undefined || snapshot.name === name).toSorted((a, b) => a.seq - b.seq),
    )
  },

  /** `measured`: with what it costs, for which the host has to be asked. */
  async show(caller: Caller, id: string, measured: boolean): Promise<ServerSnapshotDetail> {
    const { read } = deps.db
    const record = await describeOne(read, await requireServerSnapshot(read, caller, id))
    const jobs = await read.jobs.unfinished('server_snapshot', id)
    return { record, jobs, cost: measured ? await costOf(deps, caller, record) : undefined }
  },

  tree: (caller: Caller, serverId: string): Promise<SnapshotTree> => treeOf(deps.db.read, caller, serverId),

  /** In any state but on its way out: what it holds is not touched. */
  async update<R>(caller: Caller, id: string, change: SnapshotChange, reply: (record: ServerSnapshotRecord) => R): Promise<R> {
    const now = deps.clock.now()
    const snapshot = await requireServerSnapshot(deps.db.read, caller, id)
    try {
      return await deps.db.transaction(async (stores) => {
        allowMember(caller, 'server_snapshot:update')
        if (change.expiresAt !== undefined) checkExpiry(change.expiresAt, now)
        const patch = { ...given(change), updatedAt: now }
        const from = ['creating', 'available', 'reverting', 'error', 'error_deleting'] as const
        if (!(await stores.serverSnapshots.transition(id, from, patch)))
          throw new DomainError('invalidState', `Server snapshot ${id} is being deleted.`)
        if (change.protected === true) await keepServer(stores, snapshot.serverId)
        return reply(await describeOne(stores, await requireServerSnapshot(stores, caller, id)))
      })
    } catch (error) {
      if (error instanceof Duplicate && change.name !== undefined) throw taken(snapshot.serverId, change.name, error)
      throw error
    }
  },

  remove: <R>(
    caller: Caller,
    id: string,
    deletion: Deletion,
    reply: (deleted: readonly ServerSnapshot[], jobId: string) => R,
  ): Promise<R> => deleteOne(deps, caller, id, deletion, reply),

  removeMany: <R>(
    caller: Caller,
    serverId: string,
    deletion: Deletion & { readonly ids: readonly string[] | undefined },
    reply: (results: readonly DeletionResult[], jobId: string | null) => R,
  ): Promise<R> => deleteMany(deps, caller, serverId, deletion, reply),

  /** Asked every minute or so. */
  removeExpired: (): Promise<number> => deleteExpired(deps, MOST_EXPIRED),
})

/** Its deletion takes along what is not protected: either that is accepted first, or the protection is. */
async function keepServer(stores: Stores, serverId: string): Promise<void> {
  const server = await stores.servers.find(ANY, serverId)
  const isKept =
    server !== undefined &&
    server.taskState !== 'deleting' &&
    (await stores.servers.transition(serverId, { vmState: [server.vmState], taskState: [server.taskState] }, { vmState: server.vmState }))
  if (!isKept) throw new DomainError('invalidState', `Server ${serverId} is being deleted or changed meanwhile.`)
}

/** Names of `undefined` would be written as null. */
const given = (change: SnapshotChange): Partial<ServerSnapshot> =>
  Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined))
