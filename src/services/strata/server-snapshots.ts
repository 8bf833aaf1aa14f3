/** Server snapshots as a caller sees them: taken, listed, shown. */
import type { Caller } from '../../domain/caller.js'
import type { Job } from '../../domain/job.js'
import { descendantsIn, leavesIn, rootsIn } from '../../domain/snapshot-tree.js'
import type { ServiceDeps } from '../deps.js'
import { createSnapshotOfServer, type NewServerSnapshot } from './server-snapshot-create.js'
import {
  describe,
  describeOne,
  requireServer,
  requireServerSnapshot,
  type ServerSnapshotRecord,
  snapshotNotFound,
  snapshotsOf,
} from './server-snapshots-common.js'

export interface SnapshotFilter {
  readonly view: 'list' | 'roots' | 'leaves'
  readonly descendantsOf?: string | undefined
  readonly name?: string | undefined
}

export type ServerSnapshotService = ReturnType<typeof createServerSnapshotService>

export const createServerSnapshotService = (deps: Pick<ServiceDeps, 'db' | 'clock' | 'doorbell'>) => ({
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

  async show(caller: Caller, id: string): Promise<{ record: ServerSnapshotRecord; jobs: readonly Job[] }> {
    const { read } = deps.db
    const snapshot = await requireServerSnapshot(read, caller, id)
    return { record: await describeOne(read, snapshot), jobs: await read.jobs.unfinished('server_snapshot', id) }
  },
})
