/**
 * What only the holder of a lease may write. Every call first changes the job's row under `lease_token = mine AND
 * lease_owner = me`; no row means another worker took over, and the whole transaction falls with `LeaseLost`. A change,
 * not a look: also between nodes of a cluster, a take-over and a late write cannot both commit.
 */
import type { Lease } from '../../src/domain/job.js'
import { type JobStore, LeaseLost } from '../../src/ports/stores.js'
import { asText, type Session, type Value } from '../session.js'
import { writeEntry } from './job-journal.js'
import { replaceLocks } from './job-locks.js'

export function createFencedWrites(session: Session): Pick<JobStore, 'journal' | 'state' | 'progress' | 'settle' | 'requeue'> {
  return {
    async journal(lease, entries) {
      await fenced(session, lease)
      for (const entry of entries) await writeEntry(session, lease.jobId, entry)
    },
    state: async (lease, state) => await fenced(session, lease, 'state = ?', [state]),
    progress: async (lease, progress) =>
      await fenced(session, lease, 'progress = ?', [progress === null ? null : JSON.stringify(progress)]),

    async settle(lease, state, error) {
      const stopped = state === 'needs_attention'
      await fenced(session, lease, 'state = ?, error = ?, ended_at = ?, lease_owner = NULL, lease_expires_at = NULL, holds_locks = ?', [
        state,
        error === null ? null : JSON.stringify(error),
        stopped ? null : session.now(),
        stopped ? 1 : 0,
      ])
      if (!stopped) await session.run('DELETE FROM job_locks WHERE job_id = ?', [lease.jobId])
    },

    async requeue(lease, { notBefore, error, locks, input, keep = false }) {
      const [row] = await session.rows(
        `SELECT j.seq, j.state, j.preemptible, EXISTS (SELECT 1 FROM job_steps s WHERE s.job_id = j.id) AS started FROM jobs j WHERE j.id = ?`,
        [lease.jobId],
      )
      const preemptible = Number(row?.['preemptible']) !== 0
      const started = Number(row?.['started']) !== 0 && input === undefined
      // An undoing job stays one, its lease out at `notBefore`: whoever claims it undoes further.
      const undoing = asText(row?.['state']) === 'undoing'
      // Half done and not made to be interrupted: nobody else may touch what it holds, not even an older job.
      const keeps = undoing || (started && (keep || !preemptible) && locks === undefined)
      const given: string[] = []
      const values: Value[] = []
      if (error !== undefined) {
        given.push(', error = ?')
        values.push(error === null ? null : JSON.stringify(error))
      }
      if (input !== undefined) {
        given.push(', input = ?')
        values.push(JSON.stringify(input))
      }
      await fenced(
        session,
        lease,
        `state = ?, not_before = ?, lease_owner = NULL, lease_expires_at = ?, yield_requested = 0, holds_locks = ?${given.join('')}`,
        [undoing ? 'undoing' : 'queued', notBefore, undoing ? notBefore : null, keeps ? 1 : 0, ...values],
      )
      if (input !== undefined) await session.run('DELETE FROM job_steps WHERE job_id = ?', [lease.jobId])
      const waitsFrom = started || undoing ? 0 : notBefore
      if (locks !== undefined) await replaceLocks(session, { id: lease.jobId, seq: Number(row?.['seq']), preemptible }, locks, waitsFrom)
      else if (!keeps) await session.run('UPDATE job_locks SET held = NULL, waits_from = ? WHERE job_id = ?', [waitsFrom, lease.jobId])
    },
  }
}

async function fenced(session: Session, lease: Lease, changes = '', values: readonly Value[] = []): Promise<void> {
  const matched = await session.run(
    `UPDATE jobs SET fenced_writes = fenced_writes + 1${changes === '' ? '' : `, ${changes}`}
     WHERE id = ? AND lease_token = ? AND lease_owner = ? AND state IN ('running', 'undoing')`,
    [...values, lease.jobId, lease.token, lease.workerId],
  )
  if (matched === 0) throw new LeaseLost(lease.jobId)
}
