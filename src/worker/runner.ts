/**
 * The heart: runs one claimed job by its journal. Steps in order; refused before the pivot, undo; past it, forward.
 * Every journal write is fenced by the lease: losing it (`LeaseLost`) ends this run at once, without a word.
 * It decides nothing about QEMU or files: it asks `probe`, and `domain/errors.ts` tells it how sure a failure is.
 */
import { AdapterError, DomainError, NeedsAttention } from '../domain/errors.js'
import type { JobError } from '../domain/job.js'
import type { Claim, JournalEntry, Stores } from '../ports/stores.js'
import { LeaseLost } from '../ports/stores.js'
import type { Guard, Observed, Operation, Step } from '../steps/step.js'
import { Yielded } from '../steps/step.js'
import type { JobSignals, Tools, WorkerPorts } from '../steps/tools.js'
import { createJobJournal, describeFailure } from './journal.js'

/** Named points between two effects where the crash harness may stop us. Does nothing in production. */
export type Gap = (point: string) => Promise<void>

export interface RunOptions {
  readonly claim: Claim
  readonly operation: Operation<object, Tools>
  readonly ports: WorkerPorts
  readonly signals: JobSignals
  readonly gap?: Gap
  /** Attempts of a step told Unknown before the run gives up on it. */
  readonly maxAttempts?: number
}

export type RunResult = 'done' | 'failed' | 'cancelled' | 'needs_attention' | 'requeued' | 'lost'

type AnyStep = Step<object, Tools>
class Cancelled extends Error {}
/** Not done and not to be undone: try again later. */
class TryLater extends Error {}
/** Claims after which a job that still fails asks for a person: with back-off, about an hour. */
const PATIENCE = 60

export async function runJob(options: RunOptions): Promise<RunResult> {
  const { claim, operation, ports, signals, gap = async () => {}, maxAttempts = 5 } = options
  const { job, lease } = claim
  const input = job.input
  const journal = createJobJournal(ports.db, claim)
  const plan = operation.plan(input)
  const before: readonly AnyStep[] = [...plan.prepare, ...(plan.pivot ? [plan.pivot] : [])]
  const steps: readonly AnyStep[] = [...before, ...plan.finish]

  const stopped = (error: unknown): boolean => error instanceof LeaseLost || signals.stop.aborted
  const goOn = (): void => {
    if (signals.stop.aborted) throw new LeaseLost(job.id)
  }
  const toolsOf = (name: string): Tools => ({ ...ports, ...signals, jobId: job.id, learn: (facts) => journal.learn(name, facts) })
  const view = () => journal.view(ports.clock.now())

  try {
    return await perform()
  } catch (error) {
    if (stopped(error)) return 'lost'
    throw error
  }

  async function perform(): Promise<RunResult> {
    try {
      if (plan.guard !== undefined && journal.state(plan.guard.name) === 'started') await leave(plan.guard)
      if (job.state === 'undoing') return await undoAll(job.error, job.cancelRequested)
      for (const [index, step] of steps.entries()) {
        if (journal.state(step.name) === 'done') continue
        await complete(step, steps[index + 1])
      }
      return await finish()
    } catch (error) {
      if (stopped(error)) throw error
      if (error instanceof Yielded) return await requeue(0, null)
      if (error instanceof NeedsAttention) return await end('needs_attention', say(error))
      if (error instanceof TryLater || pastPivot()) return await tryLater(say(error instanceof TryLater ? error.cause : error))
      return await undoAll(say(error), error instanceof Cancelled)
    }
  }

  /** One step from whatever state the journal shows it in to `done`. */
  async function complete(step: AnyStep, next: AnyStep | undefined): Promise<void> {
    let recovered = false
    let observed: Observed = 'absent'
    const guard = step.kind === 'pivot' ? plan.guard : undefined
    if (journal.state(step.name) === 'started' && !journal.isFresh(step.name)) {
      observed = await step.probe(input, toolsOf(step.name))
      recovered = observed === 'done'
    }
    // Only once it is known that a pivot found started did not happen: beneath a switched disk nothing is undone.
    if (observed !== 'done' && step.kind !== 'forward' && !pastPivot() && signals.cancel.aborted) throw new Cancelled()
    if (journal.state(step.name) !== 'started') {
      await journal.write([journal.entry(step.name, 'started'), ...(guard ? [journal.entry(guard.name, 'started', 'guard')] : [])])
    }
    for (let attempt = 1; observed !== 'done'; attempt++) {
      if (observed === 'partial' && step.resumes !== true) {
        if (step.kind !== 'undoable') throw new NeedsAttention(`Step ${step.name} is half done and cannot be undone.`)
        await step.undo(input, toolsOf(step.name))
      }
      journal.spend(step.name)
      try {
        await (guard === undefined ? apply(step) : applyGuarded(step, guard))
        break
      } catch (error) {
        if (stopped(error) || error instanceof TryLater || !(error instanceof AdapterError)) throw error
        // A pivot is looked at even when it was refused: nothing may be undone beneath a disk that was switched.
        if (error.outcome !== 'unknown' && step.kind !== 'pivot') throw error
        observed = await step.probe(input, toolsOf(step.name)).catch((cause: unknown) => {
          throw step.kind === 'pivot' ? new TryLater('cannot look', { cause }) : cause
        })
        recovered = observed === 'done'
        if (!recovered && error.outcome !== 'unknown') throw error
        if (!recovered && attempt >= maxAttempts) throw step.kind === 'undoable' ? error : new TryLater('still unknown', { cause: error })
      }
    }
    // `done` of this and `started` of the next in one commit; a pivot starts alone, after a last look at `cancel`.
    const ahead = next !== undefined && next.kind !== 'pivot' && journal.state(next.name) === undefined ? [next] : []
    const facts = { ...journal.takeFacts(step.name), ...(recovered ? { recovered: true } : {}) }
    const entries: JournalEntry[] = [{ ...journal.entry(step.name, 'done'), facts }, ...ahead.map((s) => journal.entry(s.name, 'started'))]
    await gap(`${step.name}:before-done`)
    await journal.write(entries, (stores) => step.record?.(input, stores, facts))
    journal.fresh(ahead.map((s) => s.name))
    await gap(`${step.name}:after-done`)
  }

  async function apply(step: AnyStep): Promise<void> {
    await gap(`${step.name}:before-apply`)
    goOn()
    await step.apply(input, toolsOf(step.name))
    await gap(`${step.name}:after-apply`)
  }

  async function applyGuarded(step: AnyStep, guard: Guard<object, Tools>): Promise<void> {
    if (journal.state(guard.name) !== 'started') await journal.write([journal.entry(guard.name, 'started', 'guard')])
    try {
      await gap(`${guard.name}:before-enter`)
      goOn()
      await guard.enter(input, toolsOf(guard.name))
      await gap(`${guard.name}:entered`)
      await apply(step)
    } finally {
      if (!signals.stop.aborted) await leave(guard)
    }
  }

  /** Also the first act of recovery: the guest comes out of it before anything else is decided. */
  async function leave(guard: Guard<object, Tools>): Promise<void> {
    try {
      await guard.leave(input, toolsOf(guard.name))
    } catch (cause) {
      throw stopped(cause) ? cause : new TryLater('cannot leave', { cause })
    }
    await gap(`${guard.name}:left`)
    await journal.write([{ ...journal.entry(guard.name, 'done', 'guard'), facts: journal.takeFacts(guard.name) }])
  }

  async function undoAll(error: JobError | null, cancelled: boolean): Promise<RunResult> {
    await ports.db.transaction((stores) => stores.jobs.state(lease, 'undoing'))
    for (const step of [...before].reverse()) {
      const state = journal.state(step.name)
      if (state === undefined || state === 'undone' || step.kind !== 'undoable') continue
      await journal.write([journal.entry(step.name, 'undoing')])
      try {
        await gap(`${step.name}:before-undo`)
        goOn()
        await step.undo(input, toolsOf(step.name))
        await gap(`${step.name}:after-undo`)
      } catch (failure) {
        if (stopped(failure)) throw failure
        if (failure instanceof NeedsAttention) return await end('needs_attention', say(failure))
        return await tryLater(error ?? say(failure))
      }
      await journal.write([{ ...journal.entry(step.name, 'undone'), facts: journal.takeFacts(step.name) }])
    }
    const sentence = error?.message ?? 'The operation failed.'
    return await end(cancelled ? 'cancelled' : 'failed', error, (s) => plan.abandon(input, s, view(), { sentence, cancelled }))
  }

  async function finish(): Promise<RunResult> {
    await gap('before-settle')
    const verdict = await ports.db.transaction(async (stores) => {
      let failed: string | undefined
      await plan.settle(
        input,
        stores,
        journal.view(ports.clock.now(), (sentence) => {
          failed = sentence
        }),
      )
      const error = failed === undefined ? null : { message: failed, detail: failed }
      await stores.jobs.settle(lease, error === null ? 'done' : 'failed', error)
      return error
    })
    await gap('after-settle')
    return verdict === null ? 'done' : 'failed'
  }

  async function end(
    state: 'failed' | 'cancelled' | 'needs_attention',
    error: JobError | null,
    rows?: (stores: Stores) => Promise<void>,
  ): Promise<RunResult> {
    await ports.db.transaction(async (stores) => {
      await rows?.(stores)
      await stores.jobs.settle(lease, state, error)
    })
    return state
  }

  /** Exponential, a minute at most, from half a second; bounded, and never silent. */
  async function tryLater(error: JobError): Promise<RunResult> {
    if (job.attempts >= PATIENCE) return await end('needs_attention', error)
    return await requeue(Math.min(60_000_000, 500_000 * 2 ** Math.min(10, Math.max(0, job.attempts - 1))), error)
  }

  async function requeue(delay: number, error: JobError | null): Promise<RunResult> {
    return await ports.db.transaction(async (stores) => {
      const renewed = delay === 0 && operation.renew !== undefined ? await operation.renew(input, stores) : input
      if (renewed === undefined) {
        await stores.jobs.settle(lease, 'done', null)
        return 'done'
      }
      const fresh = renewed === input ? {} : { input: { ...renewed }, locks: operation.descriptor.locks(renewed) }
      await stores.jobs.requeue(lease, { notBefore: ports.clock.now() + delay, error, ...fresh })
      return 'requeued'
    })
  }

  /** Without a pivot the first forward step is the line: once started there is no way back. */
  function pastPivot(): boolean {
    if (plan.pivot !== undefined) return journal.state(plan.pivot.name) === 'done'
    const first = plan.finish[0]
    return first !== undefined && plan.prepare.every((s) => journal.state(s.name) === 'done') && journal.state(first.name) !== undefined
  }
}

function say(error: unknown): JobError {
  if (error instanceof Cancelled) return describeFailure(error, 'The operation was cancelled.')
  const known = error instanceof DomainError || error instanceof NeedsAttention
  return describeFailure(error, known ? error.message : 'The operation could not be completed.')
}
