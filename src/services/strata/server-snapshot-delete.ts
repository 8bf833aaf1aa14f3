/**
 * Deleting server snapshots: one, many, or those whose time is over. What may go is decided by src/domain/snapshot-deletion.ts;
 * accepted together, they go with one job. Other snapshots and the present hold after it what they held before.
 */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Server } from '../../domain/server.js'
import type { ServerSnapshot } from '../../domain/server-snapshot.js'
import { deleteServerSnapshots } from '../../domain/server-snapshot-operations.js'
import { DELETABLE, type DeleteMode, judge, leavesFirst, type Verdict } from '../../domain/snapshot-deletion.js'
import type { Micros } from '../../domain/time.js'
import { ANY, type Origin, type Stores } from '../../ports/stores.js'
import type { ServiceDeps } from '../deps.js'
import { allowMember, heldBy } from '../volume/access.js'
import { requirePlan } from './plan-scene.js'
import { recordSnapshotEvent, requireServer, requireServerSnapshot, snapshotsOf } from './server-snapshots-common.js'

type Deps = Pick<ServiceDeps, 'db' | 'clock' | 'doorbell'>

export interface Deletion {
  readonly mode: DeleteMode
  /** What becomes of a layer with several children: stays shared, or is merged into each. */
  readonly children: 'share' | 'each'
  /** Hash of a plan: refused if the world is not the one it was made for. */
  readonly plan?: string | undefined
}

export interface DeletionResult {
  readonly id: string
  /** Null: there is none of this id. */
  readonly name: string | null
  readonly outcome: 'accepted' | 'refused' | 'not_found'
  readonly message: string | null
  /** Those it is refused for. */
  readonly named: readonly Pick<ServerSnapshot, 'id' | 'name'>[]
}

const RULE = 'server_snapshot:delete'

export async function deleteOne<R>(
  deps: Deps,
  caller: Caller,
  id: string,
  deletion: Deletion,
  reply: (deleted: readonly ServerSnapshot[], jobId: string) => R,
): Promise<R> {
  const { answer, hostId } = await deps.db.transaction(async (stores) => {
    const snapshot = await requireServerSnapshot(stores, caller, id)
    allowMember(caller, RULE)
    const server = await requireServer(stores, caller, snapshot.serverId)
    const { mode, children, plan } = deletion
    await requirePlan(stores, server, { kind: 'delete', id, mode, children }, plan)
    const all = await snapshotsOf(stores, server.id)
    const verdict = judge(all, snapshot, deletion.mode)
    if (verdict.kind !== 'goes') throw await refusal(stores, snapshot, verdict)
    const { gone, late } = await take(stores, verdict.all, deps.clock.now())
    if (late !== undefined) throw await refusal(stores, snapshot, late)
    const jobId = await enqueue(stores, { server, gone, deletion, origin: originOf(caller, server), now: deps.clock.now() })
    return { answer: reply(gone, jobId), hostId: server.hostId }
  })
  deps.doorbell.ring(hostId)
  return answer
}

/** `ids` undefined: all of them. Each is judged alone; what may go, goes. */
export async function deleteMany<R>(
  deps: Deps,
  caller: Caller,
  serverId: string,
  { ids, ...deletion }: Deletion & { readonly ids: readonly string[] | undefined },
  reply: (results: readonly DeletionResult[], jobId: string | null) => R,
): Promise<R> {
  const { answer, hostId } = await deps.db.transaction(async (stores) => {
    const server = await requireServer(stores, caller, serverId)
    allowMember(caller, RULE)
    const all = await snapshotsOf(stores, serverId)
    const asked = ids === undefined ? all.filter(({ status }) => status !== 'deleting') : all.filter(({ id }) => ids.includes(id))
    const results = new Map<string, DeletionResult>()
    const gone = new Map<string, ServerSnapshot>()
    for (const snapshot of leavesFirst(all, asked)) {
      if (gone.has(snapshot.id)) continue
      const verdict = judge(all, snapshot, deletion.mode, new Set(gone.keys()))
      const taken = verdict.kind === 'goes' ? await take(stores, verdict.all, deps.clock.now()) : { gone: [], late: verdict }
      for (const one of taken.gone) {
        gone.set(one.id, one)
        results.set(one.id, { id: one.id, name: one.name, outcome: 'accepted', message: null, named: [] })
      }
      if (taken.late !== undefined) results.set(snapshot.id, refused(snapshot, taken.late))
    }
    for (const id of ids ?? [])
      if (!all.some((one) => one.id === id))
        results.set(id, { id, name: null, outcome: 'not_found', message: `Server snapshot ${id} could not be found.`, named: [] })
    const told = [...results.values()]
    if (gone.size === 0 && told.length > 0)
      throw new DomainError('invalidState', 'None of them can be deleted.', { extra: { results: told } })
    const options = { server, gone: [...gone.values()], deletion, origin: originOf(caller, server), now: deps.clock.now() }
    const jobId = gone.size === 0 ? null : await enqueue(stores, options)
    return { answer: reply(told, jobId), hostId: server.hostId }
  })
  deps.doorbell.ring(hostId)
  return answer
}

/**
 * What expired and is not protected goes, as if its owner had asked; at most `limit` at a time, so that a clock that went
 * wrong costs no more. Returns how many.
 */
export async function deleteExpired(deps: Deps, limit: number): Promise<number> {
  const now = deps.clock.now()
  const where = { expiresAt: { atMost: now }, protected: { is: false }, status: { in: [...DELETABLE] } }
  const due = await deps.db.read.serverSnapshots.list(ANY, { where, sort: [{ key: 'expiresAt', dir: 'asc' }], limit })
  let count = 0
  for (const serverId of new Set(due.map((snapshot) => snapshot.serverId))) {
    const mine = due.filter((snapshot) => snapshot.serverId === serverId)
    const hostId = await deps.db.transaction(async (stores) => {
      const server = await stores.servers.find(ANY, serverId)
      const [first] = mine
      if (server === undefined || server.vmState === 'deleted' || first === undefined) return undefined
      const { gone } = await takeEach(stores, mine, now)
      if (gone.length === 0) return undefined
      const origin = { projectId: server.projectId, userId: first.userId, requestId: `req-expiry-${now}` }
      await enqueue(stores, { server, gone, deletion: { mode: 'merge', children: 'share' }, origin, now })
      count += gone.length
      return server.hostId
    })
    if (hostId !== undefined) deps.doorbell.ring(hostId)
  }
  return count
}

interface Taken {
  readonly gone: readonly ServerSnapshot[]
  readonly late?: Exclude<Verdict, { kind: 'goes' }>
}

/** All of them or none. Judged once more after the row is ours: a protection that was put on meanwhile counts. */
async function take(stores: Stores, wanted: readonly ServerSnapshot[], now: Micros): Promise<Taken> {
  const gone: ServerSnapshot[] = []
  for (const snapshot of wanted) {
    const moved = await stores.serverSnapshots.transition(snapshot.id, [snapshot.status], { status: 'deleting', updatedAt: now })
    const seen = moved ? await stores.serverSnapshots.find(ANY, snapshot.id) : undefined
    if (moved) gone.push(snapshot)
    if (seen !== undefined && !seen.protected) continue
    for (const one of gone) await stores.serverSnapshots.transition(one.id, ['deleting'], { status: one.status, updatedAt: one.updatedAt })
    return { gone: [], late: { kind: moved ? 'protected' : 'busy', named: [snapshot] } }
  }
  return { gone }
}

async function takeEach(stores: Stores, wanted: readonly ServerSnapshot[], now: Micros): Promise<Taken> {
  const gone: ServerSnapshot[] = []
  for (const snapshot of wanted) gone.push(...(await take(stores, [snapshot], now)).gone)
  return { gone }
}

interface Order {
  readonly server: Server
  readonly gone: readonly ServerSnapshot[]
  readonly deletion: Deletion
  readonly origin: Origin
  readonly now: Micros
}

async function enqueue(stores: Stores, { server, gone, deletion, origin, now }: Order): Promise<string> {
  const ids = gone.map((snapshot) => snapshot.id)
  const tagged = gone.filter((snapshot) => snapshot.kind === 'internal').map((snapshot) => snapshot.id)
  const where = { serverSnapshotId: { in: tagged } }
  const parts = tagged.length === 0 ? [] : await stores.diskSnapshots.list(ANY, { where, sort: [{ key: 'seq', dir: 'asc' }] })
  const diskIds = [...new Set(parts.flatMap(({ diskId, layerId }) => (layerId === null ? [] : [diskId])))]
  for (const { id, projectId, name } of gone)
    await recordSnapshotEvent(stores, { projectId, id, kind: 'server_snapshot.delete', payload: { serverId: server.id, name } }, now)
  return await stores.jobs.enqueue(
    deleteServerSnapshots,
    { serverId: server.id, serverSnapshotIds: ids, children: deletion.children, diskIds },
    { hostId: server.hostId, origin },
  )
}

const originOf = (caller: Caller, server: Server): Origin => ({
  projectId: server.projectId,
  userId: caller.userId,
  requestId: caller.requestId,
})

const list = (named: readonly ServerSnapshot[]): string => named.map(({ name }) => `"${name}"`).join(', ')
const brief = ({ id, name }: ServerSnapshot) => ({ id, name })

function sentenceOf(snapshot: ServerSnapshot, { kind, named }: Exclude<Verdict, { kind: 'goes' }>): string {
  if (kind === 'victims')
    return `Others grew from server snapshot "${snapshot.name}" and would go with it: ${list(named)}. The mode discard_force takes them along, merge keeps them.`
  if (kind === 'protected') return `Protected server snapshots cannot be deleted: ${list(named)}.`
  return `Server snapshots are in use and cannot be deleted now: ${named.map(({ name, status }) => `"${name}" (${status})`).join(', ')}.`
}

function refused(snapshot: ServerSnapshot, verdict: Exclude<Verdict, { kind: 'goes' }>): DeletionResult {
  const { id, name } = snapshot
  return { id, name, outcome: 'refused', message: sentenceOf(snapshot, verdict), named: verdict.named.map(brief) }
}

/** A 409 names the victims, those that are protected, or who is at work. */
async function refusal(stores: Stores, snapshot: ServerSnapshot, verdict: Exclude<Verdict, { kind: 'goes' }>): Promise<DomainError> {
  const holder = verdict.kind === 'busy' ? await heldBy(stores, `power:${snapshot.serverId}`) : {}
  const extra = { ...holder.extra, [verdict.kind]: verdict.named.map(brief) }
  return new DomainError('invalidState', sentenceOf(snapshot, verdict), { extra })
}
