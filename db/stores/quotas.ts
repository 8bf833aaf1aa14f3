/**
 * Quotas: limits (defaults under the project id ''), one counter row per project and resource that serialises those
 * who take from it, and what was taken for which object, so that giving back needs no arithmetic elsewhere.
 */
import type { QuotaStore } from '../../src/ports/stores.js'
import { asNumber, asText, marks, type Row, type Session } from '../session.js'

/** Until an operator says otherwise. -1 = unlimited. */
const BUILT_IN: Readonly<Record<string, number>> = {
  instances: 100,
  cores: 200,
  ram: 512_000,
  volumes: 1000,
  gigabytes: 100_000,
  snapshots: 200_000,
  images: -1,
}
const DEFAULTS = ''

const byResource = (rows: readonly Row[], column: string): Record<string, number> =>
  Object.fromEntries(rows.map((row) => [asText(row['resource']), asNumber(row[column])]))

export function createQuotaStore(session: Session): QuotaStore {
  const defaults = async (): Promise<Record<string, number>> => ({ ...BUILT_IN, ...(await stored(session, DEFAULTS)) })
  const limits = async (projectId: string): Promise<Record<string, number>> => ({
    ...(await defaults()),
    ...(await stored(session, projectId)),
  })
  return {
    defaults,
    limits,
    setDefaults: async (wanted) => await store(session, DEFAULTS, wanted),
    setLimits: async (projectId, wanted) => await store(session, projectId, wanted),
    async clearLimits(projectId) {
      await session.run('DELETE FROM quota_limits WHERE project_id = ?', [projectId])
    },
    async usage(projectId) {
      const rows = await session.rows('SELECT resource, used FROM quota_usages WHERE project_id = ?', [projectId])
      const none = Object.fromEntries(Object.keys(BUILT_IN).map((resource) => [resource, 0]))
      return { ...none, ...byResource(rows, 'used') }
    },
    async take(projectId, objectId, amounts) {
      const wanted = Object.entries(amounts).filter(([, amount]) => amount > 0)
      if (wanted.length === 0) return undefined
      const used = await lockUsage(session, projectId, wanted.map(([resource]) => resource).sort())
      const allowed = await limits(projectId)
      for (const [resource, requested] of wanted) {
        const limit = allowed[resource] ?? -1
        if (limit >= 0 && (used[resource] ?? 0) + requested > limit) {
          return { resource, limit, used: used[resource] ?? 0, requested }
        }
      }
      await reserve(session, projectId, objectId, wanted)
      return undefined
    },
    async hold(projectId, objectId, amounts) {
      await release(session, objectId)
      const wanted = Object.entries(amounts).filter(([, amount]) => amount > 0)
      if (wanted.length === 0) return
      await lockUsage(session, projectId, wanted.map(([resource]) => resource).sort())
      await reserve(session, projectId, objectId, wanted)
    },
    release: async (objectId) => await release(session, objectId),
  }
}

async function release(session: Session, objectId: string): Promise<void> {
  const taken = await session.rows(
    `SELECT project_id, resource, amount FROM quota_reservations WHERE object_id = ? ORDER BY project_id, resource${session.dialect.forUpdate}`,
    [objectId],
  )
  for (const projectId of new Set(taken.map((row) => asText(row['project_id'])))) {
    const own = taken.filter((row) => asText(row['project_id']) === projectId)
    await count(
      session,
      projectId,
      own.map((row) => [asText(row['resource']), -asNumber(row['amount'])] as const),
    )
  }
  if (taken.length > 0) await session.run('DELETE FROM quota_reservations WHERE object_id = ?', [objectId])
}

async function stored(session: Session, projectId: string): Promise<Record<string, number>> {
  return byResource(await session.rows('SELECT resource, amount FROM quota_limits WHERE project_id = ?', [projectId]), 'amount')
}

async function store(session: Session, projectId: string, wanted: Readonly<Record<string, number>>): Promise<void> {
  const clash = session.dialect.onClash(['project_id', 'resource'], [`amount = ${session.dialect.incoming('amount')}`])
  for (const [resource, amount] of Object.entries(wanted)) {
    await session.run(`INSERT INTO quota_limits (project_id, resource, amount) VALUES (?, ?, ?)${clash}`, [projectId, resource, amount])
  }
}

/** Reads the counters and keeps others from them until the transaction ends; always in the same order, so no deadlock. */
async function lockUsage(session: Session, projectId: string, resources: readonly string[]): Promise<Record<string, number>> {
  const select = `SELECT resource, used FROM quota_usages WHERE project_id = ? AND resource IN (${marks(resources.length)}) ORDER BY resource${session.dialect.forUpdate}`
  const rows = await session.rows(select, [projectId, ...resources])
  if (rows.length === resources.length) return byResource(rows, 'used')
  const clash = session.dialect.onClash(['project_id', 'resource'], [])
  for (const resource of resources) {
    await session.run(`INSERT INTO quota_usages (project_id, resource, used) VALUES (?, ?, 0)${clash}`, [projectId, resource])
  }
  return byResource(await session.rows(select, [projectId, ...resources]), 'used')
}

type Amount = readonly [resource: string, amount: number]

async function count(session: Session, projectId: string, amounts: readonly Amount[]): Promise<void> {
  const cases = amounts.map(() => 'WHEN ? THEN ?').join(' ')
  await session.run(
    `UPDATE quota_usages SET used = used + CASE resource ${cases} ELSE 0 END WHERE project_id = ? AND resource IN (${marks(amounts.length)})`,
    [...amounts.flat(), projectId, ...amounts.map(([resource]) => resource)],
  )
}

async function reserve(session: Session, projectId: string, objectId: string, amounts: readonly Amount[]): Promise<void> {
  await count(session, projectId, amounts)
  const clash = session.dialect.onClash(
    ['object_id', 'project_id', 'resource'],
    [`amount = quota_reservations.amount + ${session.dialect.incoming('amount')}`],
  )
  await session.run(
    `INSERT INTO quota_reservations (object_id, project_id, resource, amount) VALUES ${amounts.map(() => '(?, ?, ?, ?)').join(', ')}${clash}`,
    amounts.flatMap(([resource, amount]) => [objectId, projectId, resource, amount]),
  )
}
