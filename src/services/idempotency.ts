/**
 * A POST that carries an Idempotency-Key is done once. The key is written in the transaction that accepts the request,
 * with the answer built inside it: either both are there or neither. A service knows nothing of this: its database is
 * wrapped, and the answer travels beside the call. What is told once is not in the answer that is kept (`x-secret` in the
 * contract): a repeated request gets the rest.
 *
 * A second request with the key finds it before it starts, or, racing, fails on the key's row, is rolled back, and
 * finds it then.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash } from 'node:crypto'
import type { Caller } from '../domain/caller.js'
import { type Micros, secondsToMicros } from '../domain/time.js'
import type { Clock } from '../ports/clock.js'
import { ANY, type Database } from '../ports/stores.js'

export interface KeyedAnswer {
  readonly status: number
  readonly response: string
}
export type Replay = { readonly kind: 'answer'; readonly answer: KeyedAnswer } | { readonly kind: 'mismatch' }

type KeyedCaller = Pick<Caller, 'projectId' | 'userId'>

interface Pending {
  readonly caller: KeyedCaller
  readonly key: string
  readonly requestHash: string
  answer: KeyedAnswer | undefined
  kept: boolean
}

const pending = new AsyncLocalStorage<Pending>()
const KEPT_FOR = secondsToMicros(24 * 3600)
/** A key is its user's own: what one was answered is not for the others of the project. */
const rowId = ({ projectId, userId }: KeyedCaller, key: string): string =>
  createHash('sha256').update(`${projectId}\n${userId}\n${key}`).digest('hex')

function rowOf({ caller, key, requestHash }: Pick<Pending, 'caller' | 'key' | 'requestHash'>, answer: KeyedAnswer, createdAt: Micros) {
  const id = rowId(caller, key)
  return { id, projectId: caller.projectId, key: id, requestHash, ...answer, createdAt }
}

/** The database as services see it: a transaction that accepts a keyed request also records its answer. */
export function recordAnswers(db: Database, clock: Clock): Database {
  return {
    ...db,
    transaction: async (work) => {
      const request = pending.getStore()
      if (!request || request.kept) return db.transaction(work)
      let recorded = false
      const result = await db.transaction(async (stores) => {
        request.answer = undefined
        recorded = false
        const value = await work(stores)
        // `work` has run: what it replied is there now, though the compiler saw only the reset.
        const answer = request.answer as KeyedAnswer | undefined
        if (answer) {
          await stores.idempotencyKeys.insert(rowOf(request, answer, clock.now()))
          recorded = true
        }
        return value
      })
      request.kept = request.kept || recorded
      return result
    },
  }
}

/** Called by the API for every answer it builds; of a request without a key it does nothing. */
export function noteAnswer(answer: () => KeyedAnswer): void {
  const request = pending.getStore()
  if (request && !request.kept) request.answer = answer()
}

export interface IdempotencyService {
  /** Runs `work` once per key; `replay` is given what an earlier request got. */
  once<R>(
    request: { caller: KeyedCaller; key: string; requestHash: string },
    work: () => Promise<R>,
    describe: (result: R) => KeyedAnswer,
    replay: (found: Replay) => R,
  ): Promise<R>
  purge(): Promise<number>
}

export function createIdempotencyService({ db, clock }: { db: Database; clock: Clock }): IdempotencyService {
  async function find(caller: KeyedCaller, key: string, requestHash: string): Promise<Replay | undefined> {
    const row = await db.read.idempotencyKeys.find({ projectId: caller.projectId }, rowId(caller, key))
    if (!row) return undefined
    return row.requestHash === requestHash
      ? { kind: 'answer', answer: { status: row.status, response: row.response } }
      : { kind: 'mismatch' }
  }

  return {
    async once({ caller, key, requestHash }, work, describe, replay) {
      const earlier = await find(caller, key, requestHash)
      if (earlier) return replay(earlier)
      const request: Pending = { caller, key, requestHash, answer: undefined, kept: false }
      try {
        const result = await pending.run(request, work)
        if (!request.kept) {
          const row = rowOf(request, describe(result), clock.now())
          await db.transaction((stores) => stores.idempotencyKeys.insert(row))
        }
        return result
      } catch (error) {
        const meanwhile = request.kept ? undefined : await find(caller, key, requestHash)
        if (meanwhile) return replay(meanwhile)
        throw error
      }
    },
    async purge() {
      const old = await db.read.idempotencyKeys.list(ANY, { where: { createdAt: { atMost: clock.now() - KEPT_FOR } }, limit: 1000 })
      for (const row of old) await db.transaction((stores) => stores.idempotencyKeys.remove(row.id))
      return old.length
    },
  }
}
