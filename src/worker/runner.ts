/**
 * The heart: runs one claimed job by its journal. Steps in order; refused before the pivot, undo; past it, forward.
 * Every journal write is fenced by the lease: losing it (`LeaseLost`) ends this run at once, without a word.
 * It decides nothing about QEMU or files: it asks `probe`, and `domain/errors.ts` tells it how sure a failure is.
 */
import { AdapterError, NeedsAttention } from '../domain/errors.js'
import type { JobError } from '../domain/job.js'
import type { Claim, JournalEntry, Stores } from '../ports/stores.js'
import { LeaseLost } from '../ports/stores.js'
import type { Guard, Observed, Operation, Step } from '../steps/step.js'
import { Yielded } from '../steps/step.js'
import type { JobSignals, Tools, WorkerPorts } from '../steps/tools.js'
import { createEndings, type RunResult } from './endings.js'
import { Cancelled, isAway, passes, say, TryLater, unwritten } from './failures.js'
import { createJobJournal, startedWith } from './journal.js'

/** Named points between two effects where the crash harness may stop us. Does nothing in production. */
export type Gap = (point: string) => Promise<void>

export interface RunOptions {
  /** `begun`: entries written in the transaction that claimed the job. */
  readonly claim: Claim & { readonly begun?: readonly string[] }
  readonly operation: Operation<object, Tools>
  readonly ports: WorkerPorts
  readonly signals: JobSignals
  readonly gap?: Gap
  /** Attempts of a step told Unknown before the run gives up on it. */
  readonly maxAttempts?: number
}

type AnyStep = Step<object, Tools>

export async function runJob(options: RunOptions): Promise<RunResult> {
  const { claim, operation, ports, signals, gap = async () => {}, maxAttempts = 5 } = options
  const { job, lease } = claim
  const input = job.input
  const journal = createJobJournal(ports.db, claim)
  const plan = operation.plan(input)
  const before: readonly AnyStep[] = [...plan.prepare, ...(plan.pivot ? [plan.pivot] : [])]
  const steps: readonly AnyStep[] = [...before, ...plan.finish]

  const stopped = (error: unknown): boolean => error instanceof LeaseLost || signals.stop.aborted
  const toolsOf = (name: string): Tools => ({ ...ports, ...signals, jobId: job.id, learn: (facts) => journal.learn(name, facts) })
  const endings = createEndings({ claim, operation, plan, ports, journal })

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
        const result = await complete(step, steps[index + 1])
        if (result !== undefined) return result
      }
      return await settle()
    } catch (error) {
      if (stopped(error)) throw error
      if (error instanceof Yielded) return await endings.makeWay()
      if (error instanceof NeedsAttention) return await endings.askForPerson(say(error))
      const cause = error instanceof TryLater ? error.cause : error
      if (error instanceof TryLater || pastPivot()) return await endings.tryLater(say(cause), passes(cause))
      // A pool that is not mounted, a QEMU that is stopped: it may be there again before anyone gives up on it.
      if (isAway(error) && !signals.cancel.aborted && endings.mayWait()) return await endings.tryLater(say(error), true)
      return await undoAll(say(error), error instanceof Cancelled || signals.cancel.aborted)
    }
  }

  /** One step from whatever state the journal shows it in to `done`; with the last one the job ends. */
  async function complete(step: AnyStep, next: AnyStep | undefined): Promise<RunResult | undefined> {
    let recovered = false
    let observed: Observed = 'absent'
    const guard = step.kind === 'pivot' ? plan.guard : undefined
    if (journal.state(step.name) === 'started' && !journal.isFresh(step.name)) {
      observed = await look(step)
      recovered = observed === 'done'
    }
    // Only once it is known that a pivot found started did not happen: beneath a switched disk nothing is undone.
    if (observed !== 'done' && step.kind !== 'forward' && !pastPivot() && signals.cancel.aborted) throw new Cancelled()
    if (journal.state(step.name) !== 'started') {
      const entries = starting(step)
      await write(entries)
      journal.fresh(entries.map((entry) => entry.name))
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
        if (stopped(error) || error instanceof TryLater || error instanceof NeedsAttention) throw error
        const isUnknown = error instanceof AdapterError && error.outcome === 'unknown'
        // A pivot is looked at even when it was refused: nothing may be undone beneath a disk that was switched.
        // One that is away is not asked again at once: each question would wait its time out.
        if (step.kind !== 'pivot' && (!isUnknown || isAway(error))) throw error
        observed = await look(step)
        recovered = observed === 'done'
        if (!recovered && !isUnknown) throw error
        if (!recovered && (attempt >= maxAttempts || isAway(error)))
          throw step.kind === 'undoable' ? error : new TryLater('still unknown', { cause: error })
      }
    }
    const facts = { ...journal.takeFacts(step.name), ...(recovered ? { recovered: true } : {}) }
    const done: JournalEntry = { ...journal.entry(step.name, 'done'), facts }
    await gap(`${step.name}:before-done`)
    // `done` of this and `started` of the next in one commit, or of the last one and the end of the job.
    const record = (stores: Stores): Promise<void> | undefined => step.record?.(input, stores, facts)
    if (next === undefined) return await settle([done], record)
    if (next.joins === true && journal.isFresh(next.name) && next !== steps.at(-1)) {
      journal.owe(done, record)
      await gap(`${step.name}:after-done`)
      return undefined
    }
    const ahead = journal.state(next.name) === undefined && !signals.cancel.aborted ? starting(next) : []
    await write([done, ...ahead], record)
    journal.fresh(ahead.map((entry) => entry.name))
    await gap(`${step.name}:after-done`)
    return undefined
  }

  /** While nobody can say whether a pivot happened, nothing is done and nothing undone. */
  async function look(step: AnyStep): Promise<Observed> {
    try {
      return await step.probe(input, toolsOf(step.name))
    } catch (cause) {
      if (step.kind !== 'pivot' || stopped(cause) || cause instanceof NeedsAttention) throw cause
      throw new TryLater('cannot look', { cause })
    }
  }

  async function apply(step: AnyStep): Promise<void> {
    await gap(`${step.name}:before-apply`)
    signals.stop.throwIfAborted()
    await step.apply(input, toolsOf(step.name))
    await gap(`${step.name}:after-apply`)
  }

  async function applyGuarded(step: AnyStep, guard: Guard<object, Tools>): Promise<void> {
    if (journal.state(guard.name) !== 'started') await write([journal.entry(guard.name, 'started', 'guard')])
    try {
      await gap(`${guard.name}:before-enter`)
      signals.stop.throwIfAborted()
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
    await write([{ ...journal.entry(guard.name, 'done', 'guard'), facts: journal.takeFacts(guard.name) }])
  }

  async function undoAll(error: JobError | null, cancelled: boolean): Promise<RunResult> {
    await ports.db.transaction((stores) => stores.jobs.state(lease, 'undoing'))
    for (const step of [...before].reverse()) {
      const state = journal.state(step.name)
      if (state === undefined || state === 'undone' || step.kind !== 'undoable') continue
      await write([journal.entry(step.name, 'undoing')])
      try {
        await gap(`${step.name}:before-undo`)
        signals.stop.throwIfAborted()
        await step.undo(input, toolsOf(step.name))
        await gap(`${step.name}:after-undo`)
      } catch (failure) {
        if (stopped(failure)) throw failure
        if (failure instanceof NeedsAttention) return await endings.askForPerson(say(failure))
        return await endings.tryLater(error ?? say(failure), passes(failure))
      }
      await write([{ ...journal.entry(step.name, 'undone'), facts: journal.takeFacts(step.name) }])
    }
    return await endings.abandon(error, cancelled)
  }

  async function settle(...last: Parameters<typeof endings.settle>): Promise<RunResult> {
    await gap('before-settle')
    const result = await endings.settle(...last).catch(unwritten)
    await gap('after-settle')
    return result
  }

  function starting(step: AnyStep): JournalEntry[] {
    const entries = startedWith(plan, step, () => 0).filter(({ name }) => name === step.name || journal.state(name) === undefined)
    return entries.map(({ name, kind }) => journal.entry(name, 'started', kind))
  }

  async function write(entries: readonly JournalEntry[], rows?: Parameters<typeof journal.write>[1]): Promise<void> {
    await journal.write(entries, rows).catch(unwritten)
  }

  /** Without a pivot the first forward step is the line: once started there is no way back. */
  function pastPivot(): boolean {
    if (plan.pivot !== undefined) return journal.state(plan.pivot.name) === 'done'
    const first = plan.finish[0]
    return first !== undefined && plan.prepare.every((s) => journal.state(s.name) === 'done') && journal.state(first.name) !== undefined
  }
}
