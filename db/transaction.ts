/**
 * The unit of work: one transaction, run again from the start when the engine rolled it back (deadlock, lock wait,
 * busy, connection lost before COMMIT), with jitter and a bound. Here and nowhere else.
 *
 * A COMMIT whose answer is lost (connection gone, Galera's 1180) may have happened. Where that can be, each writing
 * transaction ends with a row of its own in `transactions`; to learn the outcome we insert that row ourselves. The key
 * decides: refused, it was committed; taken, it was not and, with the key in our hands, never can be. Waiting for the
 * dead connection's row lock is part of the answer, so there is no moment at which we could guess too early.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { DomainError } from '../src/domain/errors.js'
import type { Micros } from '../src/domain/time.js'
import type { Connection, Log, Pool } from './pool.js'
import { type Row, type Session, StartOver, type Value } from './session.js'

export interface Engine {
  readonly pool: Pool
  readonly now: () => Micros
  readonly logger?: Log | undefined
  /** How long a unit of work may be tried again, milliseconds. */
  readonly patience?: number | undefined
}

/** One for all databases of the process: Node keeps each such storage for good, and looks at every one at each promise. */
const inside = new AsyncLocalStorage<{ readonly pool: Pool; open: boolean }>()

/** `stores` makes what the work is handed from the session of its transaction. */
export function createUnitOfWork<S>(engine: Engine, stores: (session: Session) => S): <R>(work: (stores: S) => Promise<R>) => Promise<R> {
  return async (work) => {
    const around = inside.getStore()
    if (around?.open === true && around.pool === engine.pool)
      throw new Error('a transaction inside a transaction: pass the stores on instead')
    return await persist(engine, async () => await attempt(engine, async (session) => await work(stores(session))))
  }
}

/** Runs something that leaves no trace when it fails, until it succeeds or patience ends. Reads use it too. */
export async function persist<R>(
  { pool, logger, patience = 30_000 }: Pick<Engine, 'pool' | 'logger' | 'patience'>,
  once: () => Promise<R>,
): Promise<R> {
  const deadline = performance.now() + patience
  for (let tries = 1; ; tries++) {
    try {
      return await once()
    } catch (error) {
      const meaning = error instanceof StartOver ? 'retry' : pool.dialect.meaning(error)
      if (meaning !== 'retry' && meaning !== 'lost') throw error
      if (performance.now() > deadline) {
        throw new DomainError('unavailable', 'The database is not available. Please try again later.', { cause: error })
      }
      logger?.debug({ err: error, tries }, 'database: once more')
      await delay(Math.random() * Math.min(250, (meaning === 'lost' ? 20 : 2) * 2 ** Math.min(tries, 10)))
    }
  }
}

async function attempt<R>(engine: Engine, work: (session: Session) => Promise<R>): Promise<R> {
  const { pool } = engine
  const connection = await pool.acquire()
  const session = bind(connection, engine)
  let broken = false
  try {
    await connection.run(pool.dialect.begin)
    const scope = { pool, open: true }
    let result: R
    try {
      result = await inside.run(scope, async () => await work(session))
    } finally {
      scope.open = false
      session.end()
    }
    const witness = session.wrote() && pool.dialect.commitMayBeUnknown ? randomUUID() : undefined
    if (witness !== undefined) await connection.run('INSERT INTO transactions (id, created_at) VALUES (?, ?)', [witness, engine.now()])
    try {
      await connection.run('COMMIT')
    } catch (error) {
      if (witness === undefined || isRolledBack(error)) throw error
      broken = true
      if (!(await happened(engine, witness, error))) throw new StartOver('the commit did not happen')
    }
    return result
  } catch (error) {
    if (!broken) {
      // Of a dead connection it fails, and the server rolls back by itself: either way nothing is left.
      await connection.run('ROLLBACK').catch(() => {
        broken = true
      })
    }
    throw error
  } finally {
    await connection.release(broken)
  }
}

/** Deadlock and lock wait (Galera's failed certification is told as a deadlock): certainly nothing was committed. */
const isRolledBack = (error: unknown): boolean => [1213, 1205].includes(Number((error as { errno?: unknown }).errno))

async function happened(engine: Engine, witness: string, lost: unknown): Promise<boolean> {
  const { pool, logger } = engine
  logger?.warn({ err: lost, transaction: witness }, 'database: the answer to a COMMIT was lost; asking for its outcome')
  try {
    return await persist(engine, async () => {
      const connection = await pool.acquire()
      let broken = false
      try {
        await connection.run('INSERT INTO transactions (id, created_at) VALUES (?, ?)', [witness, engine.now()])
        return false
      } catch (error) {
        if (pool.dialect.meaning(error) === 'duplicate') return true
        broken = true
        throw error
      } finally {
        await connection.release(broken)
      }
    })
  } catch (error) {
    throw new DomainError('unavailable', 'The database is not available; whether the request was accepted is not known.', { cause: error })
  }
}

interface BoundSession extends Session {
  wrote(): boolean
  end(): void
}

function bind(connection: Connection, { pool, now }: Engine): BoundSession {
  let changes = 0
  let ended = false
  const check = (): void => {
    if (ended) throw new Error('this transaction has ended: something in it was not awaited')
  }
  return {
    dialect: pool.dialect,
    now,
    async rows(sql: string, bindings?: readonly Value[]): Promise<Row[]> {
      check()
      return await connection.rows(sql, bindings)
    },
    async run(sql: string, bindings?: readonly Value[]): Promise<number> {
      check()
      changes++
      return await connection.run(sql, bindings)
    },
    wrote: () => changes > 0,
    end: () => {
      ended = true
    },
  }
}

/** Outside a transaction: reads only, tried again when the connection was lost. */
export function readSession(engine: Engine): Session {
  return {
    dialect: engine.pool.dialect,
    now: engine.now,
    rows: async (sql, bindings) => await persist(engine, async () => await engine.pool.read(sql, bindings)),
    run: async () => {
      throw new Error('a change outside a transaction: use db.transaction')
    },
  }
}
