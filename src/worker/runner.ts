/**
 * The heart: runs one claimed job by its journal. Steps in order; refused before the pivot, undo; past it, forward.
 * Every journal write is fenced by the lease: losing it (`LeaseLost`) ends this run at once, without a word.
 * It decides nothing about QEMU or files: it asks `probe`, and `domain/errors.ts` tells it how sure a failure is.
 */
import { AdapterError, DomainError, NeedsAttention } from '../domain/errors.js'
import type { JobError, StepRow } from '../domain/job.js'
import type { Claim, JournalEntry, Stores } from '../ports/stores.js'
import { LeaseLost } from '../ports/stores.js'
import type { Guard, Journal, Operation, Plan, Step } from '../steps/step.js'
import { Yielded } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'

/** Named points between two effects where the crash harness may stop us. Does nothing in production. */
export type Gap = (point: string) => Promise<void>

export interface RunOptions {
  readonly claim: Claim
  readonly operation: Operation<object, Tools>
  readonly tools: Tools
  /** Facts the running step has learnt since last asked. */
  readonly takeFacts: () => Record<string, unknown>
  readonly gap?: Gap
  /** Attempts of a step told Unknown, or of an undo, before the job asks for attention. */
  readonly maxAttempts?: number
}

export type RunResult = 'done' | 'failed' | 'cancelled' | 'needs_attention' | 'requeued' | 'lost'

class Cancelled extends Error {}
/** Past the pivot and not done: try again later. */
class TryLater extends Error {}

export async function runJob(options: RunOptions): Promise<RunResult> {
  const run = new Run(options)
  try {
    return await run.perform()
  } catch (error) {
    if (error instanceof LeaseLost || options.tools.stop.aborted) return 'lost'
    throw error
  }
}

class Run {
  readonly #o: RunOptions
  readonly #input: object
  readonly #plan: Plan<object, Tools>
  readonly #steps: Step<object, Tools>[]
  readonly #rows = new Map<string, StepRow>()
  #ordinal = 0

  constructor(options: RunOptions) {
    this.#o = options
    this.#input = options.claim.job.input
    this.#plan = options.operation.plan(this.#input)
    this.#steps = [...this.#plan.prepare, ...(this.#plan.pivot ? [this.#plan.pivot] : []), ...this.#plan.finish]
    for (const row of options.claim.journal) this.#keep(row)
  }

  async perform(): Promise<RunResult> {
    try {
      await this.#leaveGuardOfPredecessor()
      if (this.#o.claim.job.state === 'undoing') return await this.#undoAll(this.#o.claim.job.error, this.#o.claim.job.cancelRequested)
      await this.#forward()
      return await this.#finish()
    } catch (error) {
      if (error instanceof LeaseLost || this.#o.tools.stop.aborted) throw error
      if (error instanceof Yielded) return await this.#requeue(0, null)
      if (error instanceof NeedsAttention) return await this.#end('needs_attention', describe(error))
      if (error instanceof TryLater || this.#pastPivot()) return await this.#requeue(this.#backOff(), describe(cause(error)))
      return await this.#undoAll(describe(cause(error)), error instanceof Cancelled)
    }
  }

  async #forward(): Promise<void> {
    for (const [index, step] of this.#steps.entries()) {
      if (this.#state(step.name) === 'done') continue
      const atPivot = step.kind === 'pivot'
      if (!this.#pastPivot() && step.kind !== 'forward' && this.#o.tools.cancel.aborted) throw new Cancelled('cancelled on request')
      await this.#perform(step, index, atPivot ? this.#plan.guard : undefined)
    }
  }

  /** One step from whatever state the journal shows it in to `done`. */
  async #perform(step: Step<object, Tools>, index: number, guard: Guard<object, Tools> | undefined): Promise<void> {
    const found = this.#state(step.name) === 'started'
    if (!found) await this.#write([this.#entry(step.name, 'started')])
    let observed = found ? await this.#probe(step) : 'absent'
    if (found) this.#o.takeFacts()
    let recovered = observed === 'done'
    const limit = this.#o.maxAttempts ?? 5
    for (let attempt = 1; observed !== 'done'; attempt++) {
      if (observed === 'partial' && step.resumes !== true) {
        if (step.kind !== 'undoable') throw new NeedsAttention(`step ${step.name} is half done and cannot be undone`)
        await step.undo(this.#input, this.#o.tools)
      }
      try {
        await this.#apply(step, guard, index)
        observed = 'done'
      } catch (error) {
        if (!(error instanceof AdapterError) || error.outcome !== 'unknown' || this.#o.tools.stop.aborted) throw error
        if (attempt >= limit) throw step.kind === 'undoable' ? error : new TryLater('the outcome stays unknown', { cause: error })
        observed = await this.#probe(step)
        recovered = observed === 'done'
      }
    }
    const next = this.#steps[index + 1]
    const ahead =
      next !== undefined && this.#state(next.name) === undefined && next.kind !== 'pivot' ? [this.#entry(next.name, 'started')] : []
    const facts = { ...this.#o.takeFacts(), ...(recovered ? { recovered: true } : {}) }
    await this.#gap(`${step.name}:before-done`)
    await this.#write([{ ...this.#entry(step.name, 'done'), facts }, ...ahead], (stores) => step.record?.(this.#input, stores))
    await this.#gap(`${step.name}:after-done`)
    // `ahead` is `started` by us just now and surely not applied: remember that, so that it is not probed.
    for (const entry of ahead) this.#rows.set(entry.name, { ...(this.#rows.get(entry.name) as StepRow), attempts: 0 })
  }

  async #apply(step: Step<object, Tools>, guard: Guard<object, Tools> | undefined, _index: number): Promise<void> {
    if (guard === undefined) {
      await this.#gap(`${step.name}:before-apply`)
      await step.apply(this.#input, this.#o.tools)
      await this.#gap(`${step.name}:after-apply`)
      return
    }
    await this.#write([this.#entry(guard.name, 'started', 'guard')])
    try {
      await this.#gap(`${guard.name}:before-enter`)
      await guard.enter(this.#input, this.#o.tools)
      await this.#gap(`${guard.name}:entered`)
      await this.#apply(step, undefined, _index)
    } finally {
      if (!this.#o.tools.stop.aborted) await this.#leave(guard)
    }
  }

  async #leave(guard: Guard<object, Tools>): Promise<void> {
    await guard.leave(this.#input, this.#o.tools)
    await this.#gap(`${guard.name}:left`)
    await this.#write([{ ...this.#entry(guard.name, 'done', 'guard'), facts: this.#o.takeFacts() }])
  }

  /** A predecessor may have died inside the guard: get the guest out of it before anything else. */
  async #leaveGuardOfPredecessor(): Promise<void> {
    const guard = this.#plan.guard
    if (guard !== undefined && this.#state(guard.name) === 'started') await this.#leave(guard)
  }

  async #undoAll(error: JobError | null, cancelled: boolean): Promise<RunResult> {
    await this.#o.tools.db.transaction((s) => s.jobs.state(this.#o.claim.lease, 'undoing'))
    for (const step of [...this.#plan.prepare, ...(this.#plan.pivot ? [this.#plan.pivot] : [])].reverse()) {
      const state = this.#state(step.name)
      if (state === undefined || state === 'undone' || step.kind !== 'undoable') continue
      await this.#write([this.#entry(step.name, 'undoing')])
      try {
        await this.#gap(`${step.name}:before-undo`)
        await step.undo(this.#input, this.#o.tools)
        await this.#gap(`${step.name}:after-undo`)
      } catch (failure) {
        if (failure instanceof LeaseLost || this.#o.tools.stop.aborted) throw failure
        if (failure instanceof NeedsAttention || this.#o.claim.job.attempts >= 20)
          return await this.#end('needs_attention', describe(failure))
        return await this.#requeue(this.#backOff(), error ?? describe(failure))
      }
      await this.#write([{ ...this.#entry(step.name, 'undone'), facts: this.#o.takeFacts() }])
    }
    const sentence = error?.message ?? 'The operation failed.'
    return await this.#end(cancelled ? 'cancelled' : 'failed', error, (stores) =>
      this.#plan.abandon(this.#input, stores, { sentence, cancelled }),
    )
  }

  async #finish(): Promise<RunResult> {
    await this.#gap('before-settle')
    const result = await this.#end('done', null, (stores) => this.#plan.settle(this.#input, stores, this.#journal()))
    await this.#gap('after-settle')
    return result
  }

  async #end(
    state: 'done' | 'failed' | 'cancelled' | 'needs_attention',
    error: JobError | null,
    rows?: (stores: Stores) => Promise<void>,
  ): Promise<RunResult> {
    await this.#o.tools.db.transaction(async (stores) => {
      await rows?.(stores)
      await stores.jobs.settle(this.#o.claim.lease, state, error)
    })
    return state
  }

  async #requeue(delay: number, error: JobError | null): Promise<RunResult> {
    const { tools, claim, operation } = this.#o
    return await tools.db.transaction(async (stores) => {
      const notBefore = tools.clock.now() + delay
      const renewed = delay === 0 && operation.renew !== undefined ? await operation.renew(this.#input, stores) : this.#input
      if (renewed === undefined) {
        await stores.jobs.settle(claim.lease, 'done', null)
        return 'done'
      }
      await stores.jobs.requeue(claim.lease, {
        notBefore,
        error,
        ...(renewed === this.#input ? {} : { input: { ...renewed }, locks: operation.descriptor.locks(renewed) }),
      })
      return 'requeued'
    })
  }

  /** Exponential, a minute at most, from half a second. */
  #backOff(): number {
    return Math.min(60_000_000, 500_000 * 2 ** Math.min(10, Math.max(0, this.#o.claim.job.attempts - 1)))
  }

  #pastPivot(): boolean {
    const pivot = this.#plan.pivot
    if (pivot !== undefined) return this.#state(pivot.name) === 'done'
    // Without a pivot the first forward step is the line: once started there is no way back.
    const first = this.#plan.finish[0]
    return first !== undefined && this.#plan.prepare.every((s) => this.#state(s.name) === 'done') && this.#state(first.name) !== undefined
  }

  async #probe(step: Step<object, Tools>): Promise<'absent' | 'running' | 'partial' | 'done'> {
    const row = this.#rows.get(step.name)
    if (row !== undefined && row.attempts === 0) return 'absent'
    return await step.probe(this.#input, this.#o.tools)
  }

  #journal(): Journal {
    const { job } = this.#o.claim
    return {
      requestId: job.requestId,
      userId: job.userId,
      projectId: job.projectId,
      facts: (name) => this.#rows.get(name)?.facts ?? {},
      recovered: (name) => this.#rows.get(name)?.facts['recovered'] === true,
    }
  }

  async #write(entries: JournalEntry[], rows?: (stores: Stores) => Promise<void> | undefined): Promise<void> {
    await this.#o.tools.db.transaction(async (stores) => {
      await rows?.(stores)
      await stores.jobs.journal(this.#o.claim.lease, entries)
    })
    for (const entry of entries)
      this.#keep({ jobId: this.#o.claim.job.id, attempts: 1, error: null, startedAt: 0, endedAt: null, ...entry, facts: entry.facts ?? {} })
  }

  #entry(name: string, state: StepRow['state'], kind: StepRow['kind'] = 'step'): JournalEntry {
    return { name, kind, state, ordinal: this.#rows.get(name)?.ordinal ?? this.#ordinal++ }
  }

  #keep(row: StepRow): void {
    this.#rows.set(row.name, row)
    this.#ordinal = Math.max(this.#ordinal, row.ordinal + 1)
  }

  #state(name: string): StepRow['state'] | undefined {
    return this.#rows.get(name)?.state
  }

  async #gap(point: string): Promise<void> {
    await this.#o.gap?.(point)
  }
}

const cause = (error: unknown): unknown => (error instanceof TryLater ? error.cause : error)

function describe(error: unknown): JobError {
  const lines: string[] = []
  for (let e: unknown = error; e !== undefined && lines.length < 6; e = e instanceof Error ? e.cause : undefined) {
    lines.push(e instanceof Error ? `${e.name}: ${e.message}` : String(e))
  }
  const sentence = error instanceof DomainError || error instanceof NeedsAttention ? error.message : 'The operation could not be completed.'
  return { message: error instanceof Cancelled ? 'The operation was cancelled.' : sentence, detail: lines.join('; ') }
}
