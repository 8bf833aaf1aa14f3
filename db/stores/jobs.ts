/**
 * Jobs: the queue, its journal and its locks. Enqueued beside the rows they are about; claimed in job-claim.ts;
 * everything a running job writes is fenced, in job-lease.ts. `job_locks` holds rows of unfinished jobs only, so that
 * the queue is as small as the work there is, however long the history.
 */
import { randomUUID } from 'node:crypto'
import type { Job } from '../../src/domain/job.js'
import type { JobStore } from '../../src/ports/stores.js'
import { asText, marks, type Session } from '../session.js'
import { claimJob } from './job-claim.js'
import { journalOf } from './job-journal.js'
import { createFencedWrites } from './job-lease.js'
import { replaceLocks } from './job-locks.js'
import { createRecords, insertRow } from './records.js'
import { jobs } from './tables.js'

export function createJobStore(session: Session): JobStore {
  const records = createRecords(session, jobs)
  return {
    find: records.find,
    list: records.list,
    ...createFencedWrites(session),
    claim: async (options) => await claimJob(session, options),

    async enqueue(descriptor, input, { hostId, origin, locks = [], notBefore = 0 }) {
      const id = randomUUID()
      const subject = descriptor.subject(input)
      const preemptible = descriptor.preemptible === true
      await insertRow(session, jobs, {
        id,
        operation: descriptor.name,
        version: descriptor.version,
        input,
        hostId,
        ...origin,
        resourceType: subject.type,
        resourceId: subject.id,
        preemptible,
        state: 'queued',
        leaseToken: 0,
        attempts: 0,
        notBefore,
        cancelRequested: false,
        yieldRequested: false,
        createdAt: session.now(),
      })
      const [row] = await session.rows('SELECT seq FROM jobs WHERE id = ?', [id])
      const wanted = [...descriptor.locks(input), ...locks]
      await replaceLocks(session, { id, seq: Number(row?.['seq']), preemptible }, wanted, notBefore)
      return id
    },

    steps: async (jobId) => await journalOf(session, jobId),

    async locks(jobId) {
      const rows = await session.rows('SELECT name FROM job_locks WHERE job_id = ? ORDER BY seq', [jobId])
      return rows.map((row) => asText(row['name']) as Awaited<ReturnType<JobStore['locks']>>[number])
    },

    async holder(lock) {
      const [row] = await session.rows(
        `SELECT ${ofJob} FROM job_locks k JOIN jobs j ON j.id = k.job_id WHERE k.name = ?
         ORDER BY CASE WHEN k.held IS NULL THEN 1 ELSE 0 END, k.job_seq LIMIT 1`,
        [lock],
      )
      return row === undefined ? undefined : jobs.fromRow(row)
    },

    async unfinished(resourceType, resourceId) {
      const rows = await session.rows(
        `SELECT ${jobs.columns} FROM jobs WHERE resource_type = ? AND resource_id = ?
         AND state IN ('queued', 'running', 'undoing', 'needs_attention') ORDER BY seq`,
        [resourceType, resourceId],
      )
      return rows.map((row) => jobs.fromRow(row))
    },

    async renew(workerId, until, only) {
      const held = "lease_owner = ? AND state IN ('running', 'undoing')"
      const among = only === undefined ? '' : ` AND id IN (${marks(only.length)})`
      if (only?.length !== 0)
        await session.run(`UPDATE jobs SET lease_expires_at = ? WHERE ${held}${among}`, [until, workerId, ...(only ?? [])])
      const rows = await session.rows(`SELECT id FROM jobs WHERE ${held} ORDER BY seq`, [workerId])
      return rows.map((row) => asText(row['id']))
    },

    async flags(jobId) {
      const [row] = await session.rows('SELECT cancel_requested, yield_requested FROM jobs WHERE id = ?', [jobId])
      if (row === undefined) return undefined
      return { cancelRequested: Number(row['cancel_requested']) !== 0, yieldRequested: Number(row['yield_requested']) !== 0 }
    },

    async limit(scope, jobId, bytesPerSecond) {
      const job = await records.find(scope, jobId)
      if (job === undefined || !('bytesPerSecond' in job.input)) return false
      const changed = await session.run("UPDATE jobs SET input = ? WHERE id = ? AND state IN ('queued', 'running', 'needs_attention')", [
        JSON.stringify({ ...job.input, bytesPerSecond }),
        jobId,
      ])
      return changed > 0
    },

    /** A job that waits out a back-off is made due, so that it hears of it now; one that needs attention is woken for it. */
    async requestCancel(scope, jobId) {
      const tenant = jobs.scope(scope)
      const job = await records.find(scope, jobId)
      if (job?.state === 'needs_attention') {
        if (!(await retry(session, job))) return false
        await session.run('UPDATE jobs SET cancel_requested = 1 WHERE id = ?', [jobId])
        return true
      }
      const changed = await session.run(
        `UPDATE jobs SET cancel_requested = 1, not_before = CASE WHEN state = 'queued' THEN 0 ELSE not_before END
         WHERE id = ? AND state IN ('queued', 'running') AND ${tenant.text}`,
        [jobId, ...tenant.bindings],
      )
      return changed > 0
    },

    retry: async (scope, jobId) => await retry(session, await records.find(scope, jobId)),
  }
}

const ofJob = jobs.fields.map((f) => `j.${f.column}`).join(', ')

/**
 * Due now: what waits out a back-off, or what stopped for attention. The latter goes on in the direction it went: a
 * journal that shows undoing is undone further. Finished jobs are not: their rows were settled or given up.
 */
async function retry(session: Session, job: Job | undefined): Promise<boolean> {
  if (job === undefined) return false
  const now = session.now()
  if (job.state === 'queued' || job.state === 'undoing') {
    const wait =
      job.state === 'queued' ? "state = 'queued' AND not_before > ?" : "state = 'undoing' AND lease_owner IS NULL AND not_before > ?"
    const due = await session.run(
      `UPDATE jobs SET not_before = 0, lease_expires_at = CASE WHEN state = 'undoing' THEN 0 ELSE NULL END WHERE id = ? AND ${wait}`,
      [job.id, now],
    )
    if (due > 0) await session.run('UPDATE job_locks SET waits_from = 0 WHERE job_id = ?', [job.id])
    return due > 0
  }
  if (job.state !== 'needs_attention') return false
  const [undone] = await session.rows("SELECT 1 AS one FROM job_steps WHERE job_id = ? AND state IN ('undoing', 'undone') LIMIT 1", [
    job.id,
  ])
  const resumed = await session.run(
    `UPDATE jobs SET state = ?, lease_expires_at = ?, not_before = 0, attempts = 0, yield_requested = 0
     WHERE id = ? AND state = 'needs_attention'`,
    [undone === undefined ? 'queued' : 'undoing', undone === undefined ? null : 0, job.id],
  )
  return resumed > 0
}
