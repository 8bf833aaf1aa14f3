/**
 * SQLite: one connection that writes and one that reads, so that a read never waits behind a transaction. The driver is
 * asked directly: it answers at once, and a query builder between us and it costs several times the query.
 *
 * Who wants to write stands in a queue, first come first served; SQLite itself would let them race.
 */
import { closeSync, openSync } from 'node:fs'
import Driver from 'better-sqlite3'
import { DomainError } from '../src/domain/errors.js'
import { sqlite } from './dialect.js'
import type { Connection, Pool } from './pool.js'
import type { Row, Value } from './session.js'

/** Longest wait for the writing connection. What holds it that long hangs. */
const PATIENCE_MS = 60_000
/** Ours are few and come again; only lists of ids make new ones. */
const STATEMENTS_KEPT = 500

export function openSqlite(path: string): Pool {
  if (path === '' || path.includes(':memory:')) throw new TypeError('the database url names no file: sqlite:<path>')
  // Made by us first, so that it (and the -wal and -shm files, which inherit its mode) is never readable by others.
  closeSync(openSync(path, 'a', 0o600))
  // The writer hardly waits inside SQLite, because that stops the whole process: the unit of work waits instead.
  const openWriter = (): Handle =>
    open(path, ['journal_mode = WAL', 'synchronous = FULL', 'busy_timeout = 20', 'foreign_keys = ON', 'cache_size = -8000'])
  const turns = createTurns()
  let writer: Handle | undefined
  let reader: Handle | undefined
  return {
    dialect: sqlite,
    async acquire() {
      const done = await turns.take()
      try {
        writer ??= openWriter()
      } catch (error) {
        done()
        throw error
      }
      const { rows, run, close } = writer
      const connection: Connection = {
        rows: async (sql, bindings) => rows(sql, bindings),
        run: async (sql, bindings) => run(sql, bindings),
        async release(broken) {
          if (broken) {
            writer = undefined
            close()
          }
          done()
        },
      }
      return connection
    },
    async read(sql, bindings) {
      // The writer comes first: it is what makes a new file a database others can read.
      if (reader === undefined) writer ??= openWriter()
      reader ??= open(path, ['busy_timeout = 5000', 'query_only = ON', 'cache_size = -8000'])
      return reader.rows(sql, bindings)
    },
    async close() {
      const done = await turns.take()
      reader?.close()
      writer?.close()
      reader = writer = undefined
      done()
    },
  }
}

interface Handle {
  rows(sql: string, bindings?: readonly Value[]): Row[]
  run(sql: string, bindings?: readonly Value[]): number
  close(): void
}

function open(path: string, pragmas: readonly string[]): Handle {
  const database = new Driver(path)
  for (const pragma of pragmas) database.pragma(pragma)
  const known = new Map<string, Driver.Statement<Value[]>>()
  const prepared = (sql: string): Driver.Statement<Value[]> => {
    let statement = known.get(sql)
    if (statement === undefined) {
      if (known.size >= STATEMENTS_KEPT) known.clear()
      statement = database.prepare<Value[]>(sql)
      known.set(sql, statement)
    }
    return statement
  }
  return {
    rows: (sql, bindings = []) => prepared(sql).all(...bindings) as Row[],
    run(sql, bindings = []) {
      const statement = prepared(sql)
      return statement.reader ? statement.all(...bindings).length : statement.run(...bindings).changes
    },
    close: () => void database.close(),
  }
}

/** A queue for one place. */
function createTurns() {
  let taken = false
  const waiting: (() => void)[] = []
  const next = (): void => {
    const first = waiting.shift()
    if (first === undefined) taken = false
    else first()
  }
  return {
    async take(): Promise<() => void> {
      if (!taken) taken = true
      else
        await new Promise<void>((resolve, reject) => {
          const turn = (): void => {
            clearTimeout(timer)
            resolve()
          }
          const timer = setTimeout(() => {
            waiting.splice(waiting.indexOf(turn), 1)
            reject(new DomainError('unavailable', 'The database is not available. Please try again later.'))
          }, PATIENCE_MS)
          waiting.push(turn)
        })
      return next
    },
  }
}
