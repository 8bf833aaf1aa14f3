/** A job's places in the queues of the locks it wants. */
import type { Lock } from '../../src/domain/operation.js'
import type { Micros } from '../../src/domain/time.js'
import type { Session, Value } from '../session.js'

interface Waiting {
  readonly id: string
  readonly seq: number
  readonly preemptible: boolean
}

export async function replaceLocks(session: Session, job: Waiting, wanted: readonly Lock[], waitsFrom: Micros): Promise<void> {
  await session.run('DELETE FROM job_locks WHERE job_id = ?', [job.id])
  const names = [...new Set(wanted)]
  if (names.length === 0) return
  const values: Value[] = names.flatMap((name) => [job.id, name, job.preemptible ? 1 : 0, job.seq, waitsFrom])
  await session.run(
    `INSERT INTO job_locks (job_id, name, preemptible, job_seq, waits_from) VALUES ${names.map(() => '(?, ?, ?, ?, ?)').join(', ')}`,
    values,
  )
}
