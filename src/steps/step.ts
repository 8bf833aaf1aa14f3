/**
 * The protocol every change to the world follows. Five laws:
 *
 * 1. Named beforehand: what a step makes outside carries a name derived from ids in the job's input.
 * 2. Steps pass nothing to each other: input, tables, or probing. Facts learnt go to the step's own journal row.
 * 3. Write ahead: `started` is committed before `apply`, `done` after; a database-only step has just `record`.
 * 4. Look, don't remember: found `started` after a crash, or told Unknown: probe.
 * 5. Undo what was started, newest first; undo of nothing succeeds. Past the pivot only forward, with back-off.
 */
import type { Descriptor } from '../domain/operation.js'
import type { Micros } from '../domain/time.js'
import type { Stores } from '../ports/stores.js'

/** absent: apply. running: something of ours is at it: apply adopts and waits. partial: half there. done: record it. */
export type Observed = 'absent' | 'running' | 'partial' | 'done'

export type Facts = Readonly<Record<string, unknown>>

interface Base<I, T> {
  readonly name: string
  probe(input: I, tools: T): Promise<Observed>
  apply(input: I, tools: T): Promise<void>
  /** Rows that belong to this step: written in the transaction that records it done, from what it learnt. */
  record?(input: I, stores: Stores, facts: Facts): Promise<void>
  /** A partial effect is continued by `apply`; without this it is undone first. */
  readonly resumes?: true
  /**
   * Begun with the step before it, both `started` in one commit, and that one's `done` is written with this one's. Only of an
   * undoable step after an undoable one, which reads no rows the one before records. A crash finds both started, and looks.
   */
  readonly joins?: true
}

export interface Undoable<I, T> extends Base<I, T> {
  readonly kind: 'undoable'
  undo(input: I, tools: T): Promise<void>
}
/** Atomic: the world shows it absent or done. */
export interface Pivot<I, T> extends Base<I, T> {
  readonly kind: 'pivot'
}
/** After the pivot: retried until done. */
export interface Forward<I, T> extends Base<I, T> {
  readonly kind: 'forward'
}
export type Step<I, T> = Undoable<I, T> | Pivot<I, T> | Forward<I, T>

/**
 * Something entered just before the pivot that must be left again: a frozen guest. Leaving runs on success, on
 * failure, and first of all in recovery. Its facts are found in the journal under its name.
 */
export interface Guard<I, T> {
  readonly name: string
  enter(input: I, tools: T): Promise<void>
  leave(input: I, tools: T): Promise<void>
}

export interface Plan<I, T> {
  readonly prepare: readonly Undoable<I, T>[]
  readonly guard?: Guard<I, T>
  readonly pivot?: Pivot<I, T>
  readonly finish: readonly Forward<I, T>[]
  /** Final statuses when all is done, in the transaction that ends the job. */
  settle(input: I, stores: Stores, journal: Journal): Promise<void>
  /** Final statuses when all was undone. `sentence` is for the user. */
  abandon(input: I, stores: Stores, journal: Journal, failure: Failure): Promise<void>
}

export interface Failure {
  readonly sentence: string
  readonly cancelled: boolean
}

/** What `settle` and `abandon` may read of the job: who asked, when it is, and facts by step or guard name. */
export interface Journal {
  readonly jobId: string
  readonly hostId: string
  readonly requestId: string
  readonly userId: string
  readonly projectId: string
  readonly now: Micros
  facts(name: string): Facts
  /** Was the step ever begun? */
  begun(name: string): boolean
  /** Ends the job as failed although it went all the way: what was promised was not reached. */
  fail(sentence: string): void
  /** Was the step's effect found after a crash, rather than seen to happen? */
  recovered(name: string): boolean
}

export interface Operation<I extends object, T> {
  readonly descriptor: Descriptor<I>
  plan(input: I): Plan<I, T>
  /** Fresh input (and so fresh locks) for a job that goes back to the queue; undefined: nothing left to do. */
  renew?(input: I, stores: Stores): Promise<I | undefined>
}

/** Thrown by a step that made way for another job: what it did stays, the job goes back to the queue. */
export class Yielded extends Error {
  constructor() {
    super('made way for another job')
    this.name = 'Yielded'
  }
}
