/**
 * Connections. SQLite: one that writes and one that reads, so that a read never waits behind a transaction.
 * MariaDB/MySQL: one pool for both. knex gives us the pools and the drivers' binding of values.
 */
import { closeSync, openSync } from 'node:fs'
import knexFactory, { type Knex } from 'knex'
import { type Dialect, mysql, sqlite } from './dialect.js'
import type { Row, Value } from './session.js'

export interface Log {
  debug(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface Connection {
  rows(sql: string, bindings?: readonly Value[]): Promise<Row[]>
  run(sql: string, bindings?: readonly Value[]): Promise<number>
  /** Back to the pool; `broken` ones are closed instead. */
  release(broken: boolean): Promise<void>
}

export interface Pool {
  readonly dialect: Dialect
  /** A connection to itself, for a transaction. */
  acquire(): Promise<Connection>
  /** One statement on any connection. */
  read(sql: string, bindings?: readonly Value[]): Promise<Row[]>
  close(): Promise<void>
}

export function openPool(url: string, logger: Log | undefined): Pool {
  if (url.startsWith('sqlite:')) return openSqlite(url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, ''), logger)
  if (url.startsWith('mysql://')) return openMysql(url, logger)
  throw new TypeError('the database url must begin with sqlite: or mysql://')
}

function openSqlite(path: string, logger: Log | undefined): Pool {
  if (path === '' || path.includes(':memory:')) throw new TypeError('the database url names no file: sqlite:<path>')
  // Made by us first, so that it (and the -wal and -shm files, which inherit its mode) is never readable by others.
  closeSync(openSync(path, 'a', 0o600))
  const open = (pragmas: readonly string[]): Knex =>
    knexFactory({
      client: 'better-sqlite3',
      connection: { filename: path },
      useNullAsDefault: true,
      log: quiet(logger),
      pool: {
        min: 1,
        max: 1,
        afterCreate: (connection: SqliteConnection, done: (error: unknown) => void) => {
          try {
            for (const pragma of pragmas) connection.pragma(pragma)
            rememberStatements(connection)
            done(null)
          } catch (error) {
            done(error)
          }
        },
      },
    })
  // The writer hardly waits inside SQLite, because that stops the whole process: the unit of work waits instead.
  const writer = open(['journal_mode = WAL', 'synchronous = FULL', 'busy_timeout = 20', 'foreign_keys = ON', 'cache_size = -16000'])
  const reader = open(['busy_timeout = 5000', 'query_only = ON', 'cache_size = -16000'])
  return pool(sqlite, writer, reader)
}

interface SqliteConnection {
  pragma(text: string): unknown
  prepare(sql: string): unknown
}

/** knex prepares every statement anew; ours are few and come again. */
function rememberStatements(connection: SqliteConnection): void {
  const prepare = connection.prepare.bind(connection)
  const known = new Map<string, unknown>()
  connection.prepare = (sql) => {
    let statement = known.get(sql)
    if (statement === undefined) {
      if (known.size >= 500) known.clear()
      statement = prepare(sql)
      known.set(sql, statement)
    }
    return statement
  }
}

/**
 * Who waits for a row stands in the engine's queue, first come first served; a time-out throws the place away. So the wait is
 * longer than a queue of acceptances for one counter gets on a busy machine, and what could make it endless is ended elsewhere:
 * a process that was stopped inside a transaction loses its connection, and with it the rows it held (MariaDB only).
 * The first limit here is shorter than the second, and that shorter than the patience of a unit of work.
 */
const IDLE_TRANSACTION_S = 10
const LOCK_WAIT_S = 20

/**
 * The two version comments are each read by one of the two servers only; both recursion limits would cut a chain short. MariaDB
 * would answer the claim's NOT EXISTS for the whole queue before it looks at the first job.
 */
const SETTINGS = `SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', SESSION time_zone = '+00:00', SESSION innodb_lock_wait_timeout = ${LOCK_WAIT_S}
 /*M!100301 , SESSION max_recursive_iterations = 100000, SESSION optimizer_switch = 'exists_to_in=off', SESSION idle_transaction_timeout = ${IDLE_TRANSACTION_S} */ /*!80003 , SESSION cte_max_recursion_depth = 100000 */`

function openMysql(url: string, logger: Log | undefined): Pool {
  const at = new URL(url)
  const socketPath = at.searchParams.get('socketPath')
  const database = decodeURIComponent(at.pathname.slice(1))
  if (database === '') throw new TypeError('the database url names no database: mysql://user:password@host:port/database')
  const knex = knexFactory({
    client: 'mysql2',
    connection: {
      ...(socketPath === null ? { host: at.hostname, port: Number(at.port || 3306) } : { socketPath }),
      user: decodeURIComponent(at.username),
      password: decodeURIComponent(at.password),
      database,
      charset: 'utf8mb4',
      connectTimeout: 10_000,
    },
    log: quiet(logger),
    acquireConnectionTimeout: 30_000,
    pool: {
      min: 0,
      max: Number(at.searchParams.get('connections') ?? 10),
      // The first failure is reported as it is, and the unit of work decides; tarn would only repeat it until its time-out.
      propagateCreateError: true,
      afterCreate: (connection: MysqlConnection, done: (error: unknown) => void) => {
        connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED', (error) => {
          if (error) done(error)
          else connection.query(SETTINGS, done)
        })
      },
    } as Knex.PoolConfig,
  })
  return pool(mysql, knex, knex)
}

interface MysqlConnection {
  query(sql: string, done: (error: unknown) => void): void
}

function pool(dialect: Dialect, writer: Knex, reader: Knex): Pool {
  return {
    dialect,
    async acquire() {
      const raw = await writer.client.acquireConnection()
      const say = async (sql: string, bindings: readonly Value[]): Promise<unknown> => await writer.raw(sql, bindings).connection(raw)
      return {
        rows: async (sql, bindings = []) => rowsOf(await say(sql, bindings)),
        run: async (sql, bindings = []) => changesOf(await say(sql, bindings)),
        async release(broken) {
          if (broken) raw.__knex__disposed = new Error('left in an unknown state')
          await writer.client.releaseConnection(raw)
        },
      }
    },
    read: async (sql, bindings = []) => rowsOf(await reader.raw(sql, bindings)),
    async close() {
      if (reader !== writer) await reader.destroy()
      await writer.destroy()
    },
  }
}

/** better-sqlite3 answers rows; mysql2 a pair of rows and field descriptions. */
function rowsOf(answer: unknown): Row[] {
  if (!Array.isArray(answer)) return []
  return (Array.isArray(answer[0]) ? answer[0] : answer) as Row[]
}

function changesOf(answer: unknown): number {
  const head = (Array.isArray(answer) ? answer[0] : answer) as { changes?: number; affectedRows?: number } | undefined
  return head?.changes ?? head?.affectedRows ?? 0
}

function quiet(logger: Log | undefined): Knex.Logger {
  const tell = (message: unknown): void => logger?.debug({ source: 'knex' }, String(message))
  return { warn: tell, error: tell, debug: tell, deprecate: tell }
}
