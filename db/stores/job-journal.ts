/** A job's journal: one row a step, written ahead. */
import type { StepRow } from '../../src/domain/job.js'
import type { JournalEntry } from '../../src/ports/stores.js'
import { asText, type Row, type Session } from '../session.js'

export async function journalOf(session: Session, jobId: string): Promise<StepRow[]> {
  const rows = await session.rows(
    'SELECT job_id, name, kind, ordinal, state, attempts, facts, error, started_at, ended_at FROM job_steps WHERE job_id = ? ORDER BY ordinal, seq',
    [jobId],
  )
  return rows.map(step)
}

const step = (row: Row): StepRow => ({
  jobId: asText(row['job_id']),
  name: asText(row['name']),
  kind: asText(row['kind']) as StepRow['kind'],
  ordinal: Number(row['ordinal']),
  state: asText(row['state']) as StepRow['state'],
  attempts: Number(row['attempts']),
  facts: JSON.parse(asText(row['facts'])),
  error: row['error'] === null ? null : asText(row['error']),
  startedAt: Number(row['started_at']),
  endedAt: row['ended_at'] === null ? null : Number(row['ended_at']),
})

/** `attempts` counts how often a step was started; facts once learnt stay unless new ones come. */
export async function writeEntry(session: Session, jobId: string, entry: JournalEntry): Promise<void> {
  const now = session.now()
  const started = entry.state === 'started'
  const ended = entry.state === 'done' || entry.state === 'undone'
  const facts = entry.facts !== undefined && Object.keys(entry.facts).length > 0
  const { dialect } = session
  const changes = [
    `attempts = job_steps.attempts + ${started ? 1 : 0}`,
    `state = ${dialect.incoming('state')}`,
    `ended_at = ${dialect.incoming('ended_at')}`,
    ...(facts ? [`facts = ${dialect.incoming('facts')}`] : []),
    ...(entry.error === undefined ? [] : [`error = ${dialect.incoming('error')}`]),
  ]
  await session.run(
    `INSERT INTO job_steps (job_id, name, kind, ordinal, state, attempts, facts, error, started_at, ended_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)${dialect.onClash(['job_id', 'name'], changes)}`,
    [
      jobId,
      entry.name,
      entry.kind,
      entry.ordinal,
      entry.state,
      started ? 1 : 0,
      JSON.stringify(entry.facts ?? {}),
      entry.error ?? null,
      now,
      ended ? now : null,
    ],
  )
}
