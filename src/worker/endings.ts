/** How a run ends: settled, failed, back in the queue, or handed to a person. Each is one fenced transaction. */
import type { JobError } from '../domain/job.js'
import { secondsToMicros } from '../domain/time.js'
import type { Claim, JournalEntry, Stores } from '../ports/stores.js'
import type { Operation, Plan } from '../steps/step.js'
import type { Tools, WorkerPorts } from '../steps/tools.js'
import type { JobJournal, Rows } from './journal.js'

export type RunResult = 'done' | 'failed' | 'cancelled' | 'needs_attention' | 'requeued' | 'lost'

/** How long a job fails, at every attempt and with no step done in between, before it asks for a person. */
const PATIENCE = secondsToMicros(3600)
/** The clock may have run on while nobody worked: so often it must at least have been tried. */
const LEAST_ATTEMPTS = 10
/** How long a job that can still be undone waits for what is away before it is. */
const WAITING = secondsToMicros(120)

export interface Endings {
  /** Within a transaction that is open already. */
  settleIn(stores: Stores): Promise<RunResult>
  /** With what the last step leaves in the journal and in the tables. */
  settle(entries?: readonly JournalEntry[], rows?: Rows): Promise<RunResult>
  abandon(error: JobError | null, cancelled: boolean): Promise<RunResult>
  askForPerson(error: JobError): Promise<RunResult>
  /**
   * Exponential, a minute at most, from half a second, and never silent. What fails is a person's in the end; what only
   * waits for something that is away goes on waiting, for that is all a person could have it do.
   */
  tryLater(error: JobError, waits: boolean): Promise<RunResult>
  /** May a job that could be undone still wait for what is away? */
  mayWait(): boolean
  makeWay(): Promise<RunResult>
}

export function createEndings(parts: {
  readonly claim: Claim
  readonly operation: Operation<object, Tools>
  readonly plan: Plan<object, Tools>
  readonly ports: WorkerPorts
  readonly journal: JobJournal
}): Endings {
  const { claim, operation, plan, ports, journal } = parts
  const { job, lease } = claim
  const { clock, db } = ports

  // A retry begins a new row of failures.
  const earlier = job.attempts > 1 ? job.error?.since : undefined
  const failingSince = (): number => (journal.advanced() ? undefined : earlier) ?? clock.now()

  const end = async (
    state: 'failed' | 'cancelled' | 'needs_attention',
    error: JobError | null,
    rows?: (stores: Stores) => Promise<void>,
  ): Promise<RunResult> => {
    await db.transaction(async (stores) => {
      await rows?.(stores)
      await stores.jobs.settle(lease, state, error)
    })
    return state
  }

  async function settleIn(stores: Stores, entries: readonly JournalEntry[] = [], rows?: Rows): Promise<RunResult> {
    await rows?.(stores)
    if (entries.length > 0) await stores.jobs.journal(lease, entries)
    let failed: string | undefined
    const fail = (sentence: string): void => {
      failed = sentence
    }
    await plan.settle(job.input, stores, journal.view(clock.now(), { fail, entries }))
    const error = failed === undefined ? null : { message: failed, detail: failed }
    await stores.jobs.settle(lease, error === null ? 'done' : 'failed', error)
    return error === null ? 'done' : 'failed'
  }

  return {
    settleIn,
    settle: async (entries, rows) => await db.transaction(async (stores) => await settleIn(stores, entries, rows)),
    async abandon(error, cancelled) {
      const failure = { sentence: error?.message ?? 'The operation failed.', cancelled }
      const rows = async (stores: Stores): Promise<void> => await plan.abandon(job.input, stores, journal.view(clock.now()), failure)
      return await end(cancelled ? 'cancelled' : 'failed', error, rows)
    },
    askForPerson: async (error) => await end('needs_attention', error),
    mayWait: () => clock.now() - failingSince() < WAITING,
    async tryLater(failure, waits) {
      const error = { ...failure, since: failingSince() }
      const isHopeless = !waits && job.attempts >= LEAST_ATTEMPTS && clock.now() - error.since >= PATIENCE
      if (isHopeless) return await end('needs_attention', error)
      const delay = Math.min(60_000_000, 500_000 * 2 ** Math.min(10, Math.max(0, job.attempts - 1)))
      await db.transaction((stores) => stores.jobs.requeue(lease, { notBefore: clock.now() + delay, error, keep: true }))
      return 'requeued'
    },
    async makeWay() {
      return await db.transaction(async (stores) => {
        const input = operation.renew === undefined ? job.input : await operation.renew(job.input, stores)
        if (input === undefined) {
          await stores.jobs.settle(lease, 'done', null)
          return 'done'
        }
        const fresh = input === job.input ? {} : { input, locks: operation.descriptor.locks(input) }
        await stores.jobs.requeue(lease, { notBefore: clock.now(), error: null, ...fresh })
        return 'requeued'
      })
    },
  }
}
