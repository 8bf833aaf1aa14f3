/**
 * Forgetting on schedule, in small transactions so that nobody waits: expired tokens and messages, finished jobs with
 * their journals, rows kept only to be called deleted, old events, idempotency keys and commit witnesses.
 */
import type { Micros } from '../src/domain/time.js'
import { asText, marks, type Session, type Value } from './session.js'

const DAY = 86_400_000_000

export interface PurgeOptions {
  /** How long each is kept, microseconds. */
  readonly jobs?: Micros
  readonly deleted?: Micros
  readonly events?: Micros
  readonly idempotencyKeys?: Micros
  /** Rows a transaction. */
  readonly batch?: number
}

/** Rows removed, by table. */
export type Purged = Record<string, number>
type Unit = <R>(work: (session: Session) => Promise<R>) => Promise<R>

interface Rule {
  readonly table: string
  readonly where: string
  readonly bindings: readonly Value[]
  /** Rows of other tables that go with a row, by the column that names it. */
  readonly with?: readonly (readonly [table: string, column: string])[]
}

export async function purge(unit: Unit, now: Micros, options: PurgeOptions = {}): Promise<Purged> {
  const { jobs = 30 * DAY, deleted = 7 * DAY, events = 7 * DAY, idempotencyKeys = DAY, batch = 200 } = options
  const rules: Rule[] = [
    { table: 'tokens', where: 'expires_at < ?', bindings: [now] },
    { table: 'messages', where: 'expires_at < ?', bindings: [now] },
    { table: 'events', where: 'created_at < ?', bindings: [now - events] },
    { table: 'idempotency_keys', where: 'created_at < ?', bindings: [now - idempotencyKeys] },
    { table: 'transactions', where: 'created_at < ?', bindings: [now - DAY] },
    {
      table: 'jobs',
      where: "state IN ('done', 'failed', 'cancelled') AND ended_at < ?",
      bindings: [now - jobs],
      with: [['job_steps', 'job_id']],
    },
    {
      table: 'servers',
      where: "vm_state = 'deleted' AND deleted_at < ?",
      bindings: [now - deleted],
      with: [['instance_actions', 'server_id']],
    },
    { table: 'snapshots', where: "status = 'deleted' AND COALESCE(updated_at, created_at) < ?", bindings: [now - deleted] },
    {
      table: 'images',
      where: "status = 'deleted' AND updated_at < ?",
      bindings: [now - deleted],
      with: [['image_members', 'image_id']],
    },
  ]
  const removed: Purged = {}
  for (const rule of rules) {
    for (;;) {
      const count = await unit(async (session) => await removeSome(session, rule, batch))
      removed[rule.table] = (removed[rule.table] ?? 0) + count
      if (count < batch) break
    }
  }
  return removed
}

async function removeSome(session: Session, rule: Rule, batch: number): Promise<number> {
  const rows = await session.rows(`SELECT id FROM ${rule.table} WHERE ${rule.where} LIMIT ${batch}`, rule.bindings)
  if (rows.length === 0) return 0
  const ids = rows.map((row) => asText(row['id']))
  for (const [table, column] of rule.with ?? []) {
    await session.run(`DELETE FROM ${table} WHERE ${column} IN (${marks(ids.length)})`, ids)
  }
  await session.run(`DELETE FROM ${rule.table} WHERE id IN (${marks(ids.length)}) AND ${rule.where}`, [...ids, ...rule.bindings])
  return rows.length
}
