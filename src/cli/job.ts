/** A job as the service tells it, and waiting for its end. */
import { Failure } from './errors.js'
import { barText, lineText, milestone } from './progress.js'
import type { Session } from './session.js'

export interface Job {
  readonly id: string
  readonly operation: string
  readonly state: 'queued' | 'running' | 'undoing' | 'done' | 'failed' | 'cancelled' | 'needs_attention'
  readonly resource_type: string
  readonly resource_id: string
  readonly attempts: number
  readonly progress: {
    readonly bytes_done: number
    readonly bytes_total: number
    readonly bytes_per_second: number
    readonly seconds_left: number | null
  } | null
  readonly error: string | null
  readonly created_at: string
  readonly started_at: string | null
  readonly ended_at: string | null
}
export interface JobDetail {
  readonly job: Job
  readonly guest_paused_ms: number | null
  readonly steps: readonly { readonly name: string; readonly state: string; readonly seconds: number | null }[]
  readonly explanation: { readonly code: string; readonly sentence: string; readonly you_can: readonly string[] }
}

/** Where progress is shown: standard error, so that what is printed at the end can be piped. */
export interface Terminal {
  readonly isTTY: boolean
  readonly columns: number
  write(text: string): void
}

const SOON_MS = 50
const LATER_MS = 1_000
const ENDED: ReadonlySet<Job['state']> = new Set(['done', 'failed', 'cancelled', 'needs_attention'])

export const explainJob = async (session: Session, id: string): Promise<JobDetail> =>
  await session.call<JobDetail>('strata', 'GET', `/jobs/${encodeURIComponent(id)}/explain`)

/** Until it has ended; one that needs attention has as far as we are concerned. */
export async function watchJob(session: Session, id: string, terminal: Terminal): Promise<Job> {
  let told = ''
  for (let pause = SOON_MS; ; pause = Math.min(LATER_MS, pause * 1.5)) {
    const { job } = await session.call<{ job: Job }>('strata', 'GET', `/jobs/${encodeURIComponent(id)}`)
    const isOver = ENDED.has(job.state)
    if (terminal.isTTY) terminal.write(`\r\x1b[K${barText(job, terminal.columns - 1)}${isOver ? '\n' : ''}`)
    else if (milestone(job) !== told) terminal.write(`${lineText(job)}\n`)
    told = milestone(job)
    if (isOver) return job
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
}

/** Throws what became of it unless it did all it was asked to do. */
export async function mustEndWell(session: Session, job: Job): Promise<void> {
  if (job.state === 'done') return
  const { explanation } = await explainJob(session, job.id)
  const advice = explanation.you_can.length === 0 ? '' : `\nyou can: ${explanation.you_can.join('; ')}`
  throw new Failure(`job ${job.id} (${job.operation}) is ${job.state}: ${explanation.sentence}${advice}`)
}
