/**
 * Who may run. Every lock is a queue of unfinished jobs; in it, jobs that make way stand behind those that do not, and
 * each kind by age: (preemptible, seq). A queued job may run when it is the first of all its queues and nobody holds
 * one of its locks. A job waiting for its time keeps its place only once it has started: before, nothing is half done.
 *
 * Safety does not rest on that question, which two workers may ask at once: a claim writes the lock's name into
 * `job_locks.held`, unique among all jobs, so the database itself admits one holder. A lease that ran out is taken
 * over without asking, for its job holds its locks already.
 */
import type { Job } from '../../src/domain/job.js'
import type { JobStore } from '../../src/ports/stores.js'
import { asText, marks, type Session, StartOver, type Value } from '../session.js'
import { journalOf } from './job-journal.js'
import { jobs } from './tables.js'

type ClaimOptions = Parameters<JobStore['claim']>[0]

export async function claimJob(session: Session, options: ClaimOptions): ReturnType<JobStore['claim']> {
  const found = await candidate(session, options)
  await askToMakeWay(session, options)
  if (found === undefined) return undefined
  const { hostId, workerId, now, leaseFor } = options
  const state: Job['state'] = found.state === 'undoing' ? 'undoing' : 'running'
  const taken = await session.run(
    `UPDATE jobs SET state = ?, lease_owner = ?, lease_token = lease_token + 1, lease_expires_at = ?, attempts = attempts + 1,
       started_at = COALESCE(started_at, ?), holds_locks = 1
     WHERE id = ? AND host_id = ? AND state = ? AND lease_token = ?`,
    [state, workerId, now + leaseFor, now, found.id, hostId, found.state, found.leaseToken],
  )
  if (taken === 0) throw new StartOver('another worker was faster')
  if (!found.holdsLocks) await hold(session, found.id)
  const [row] = await session.rows(`SELECT ${jobs.columns} FROM jobs WHERE id = ?`, [found.id])
  if (row === undefined) throw new StartOver('the job is gone')
  const job = jobs.fromRow(row)
  return {
    job,
    lease: { jobId: job.id, workerId, token: job.leaseToken },
    journal: found.begun ? await journalOf(session, job.id) : [],
    expiredOwner: found.leaseOwner,
  }
}

interface Candidate {
  readonly id: string
  readonly state: Job['state']
  readonly leaseToken: number
  readonly leaseOwner: string | null
  readonly holdsLocks: boolean
  /** Claimed before: it may have a journal. */
  readonly begun: boolean
}

/** `mine` waits behind `other`: it holds the lock, or stands before it. Both look-ups are one step in an index. */
const BLOCKED = `SELECT 1 FROM job_locks mine WHERE mine.job_id = j.id AND (
    EXISTS (SELECT 1 FROM job_locks other WHERE other.held = mine.name AND other.job_id <> mine.job_id)
    OR EXISTS (SELECT 1 FROM job_locks other WHERE other.name = mine.name AND other.preemptible = 0 AND other.waits_from <= ?
      AND other.job_seq < CASE WHEN mine.preemptible = 1 THEN ${2 ** 53} ELSE mine.job_seq END)
    OR (mine.preemptible = 1 AND EXISTS (SELECT 1 FROM job_locks other
      WHERE other.name = mine.name AND other.preemptible = 1 AND other.waits_from <= ? AND other.job_seq < mine.job_seq)))`

async function candidate(session: Session, { hostId, now, except }: ClaimOptions): Promise<Candidate | undefined> {
  const from = `jobs j${session.dialect.byIndex('jobs', ['host_id', 'state', 'seq'])}`
  const without = except.length === 0 ? '' : ` AND j.id NOT IN (${marks(except.length)})`
  const columns = 'j.seq, j.id, j.state, j.lease_token, j.lease_owner, j.holds_locks, j.started_at'
  const one = (condition: string): string =>
    `SELECT * FROM (SELECT ${columns} FROM ${from} WHERE j.host_id = ? AND ${condition}${without} ORDER BY j.seq LIMIT 1)`
  const expired = (state: string): string => one(`j.state = '${state}' AND j.lease_expires_at <= ?`)
  const queued = one(`j.state = 'queued' AND j.not_before <= ? AND (j.holds_locks = 1 OR NOT EXISTS (${BLOCKED}))`)
  const taken: Value[] = [hostId, now, ...except]
  const rows = await session.rows(
    `${expired('running')} AS a UNION ALL ${expired('undoing')} AS b UNION ALL ${queued} AS c ORDER BY seq LIMIT 1`,
    [...taken, ...taken, hostId, now, now, now, ...except],
  )
  const row = rows[0]
  if (row === undefined) return undefined
  return {
    id: asText(row['id']),
    state: asText(row['state']) as Job['state'],
    leaseToken: Number(row['lease_token']),
    leaseOwner: row['lease_owner'] === null ? null : asText(row['lease_owner']),
    holdsLocks: Number(row['holds_locks']) !== 0,
    begun: row['started_at'] !== null,
  }
}

async function hold(session: Session, jobId: string): Promise<void> {
  try {
    await session.run('UPDATE job_locks SET held = name WHERE job_id = ?', [jobId])
  } catch (error) {
    if (session.dialect.meaning(error) === 'duplicate') throw new StartOver('another job took a lock first')
    throw error
  }
}

/** Running jobs that make way, in the way of a due one that does not. Looked up first: an idle poll writes nothing. */
async function askToMakeWay(session: Session, { hostId, now }: ClaimOptions): Promise<void> {
  const rows = await session.rows(
    `SELECT j.id FROM jobs j${session.dialect.byIndex('jobs', ['host_id', 'state', 'seq'])} WHERE j.host_id = ? AND j.state = 'running' AND j.preemptible = 1 AND j.yield_requested = 0
     AND EXISTS (SELECT 1 FROM job_locks theirs JOIN job_locks wants
       ON wants.name = theirs.name AND wants.preemptible = 0 AND wants.waits_from <= ?
       WHERE theirs.job_id = j.id)`,
    [hostId, now],
  )
  if (rows.length === 0) return
  const ids = rows.map((row) => asText(row['id']))
  await session.run(`UPDATE jobs SET yield_requested = 1 WHERE id IN (${marks(ids.length)}) AND state = 'running'`, ids)
}
