/**
 * MariaDB/MySQL: a pool for transactions and one for reads, so that however many transactions wait for a row, a read waits
 * for none of them. knex keeps the pools and looks after their connections; statements go straight to the driver, for a
 * query builder has nothing to add to finished SQL.
 */
import knexFactory, { type Knex } from 'knex'
import { mysql } from './dialect.js'
import type { Log, Pool } from './pool.js'
import type { Row, Value } from './session.js'

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

export function openMysql(url: string, logger: Log | undefined): Pool {
  const at = new URL(url)
  const socketPath = at.searchParams.get('socketPath')
  const database = decodeURIComponent(at.pathname.slice(1))
  if (database === '') throw new TypeError('the database url names no database: mysql://user:password@host:port/database')
  const connection = {
    ...(socketPath === null ? { host: at.hostname, port: Number(at.port || 3306) } : { socketPath }),
    user: decodeURIComponent(at.username),
    password: decodeURIComponent(at.password),
    database,
    charset: 'utf8mb4',
    connectTimeout: 10_000,
  }
  const connections = Number(at.searchParams.get('connections') ?? 10)
  const writers = openConnections(connection, connections, logger)
  const readers = openConnections(connection, Math.max(2, Math.ceil(connections / 2)), logger)
  return {
    dialect: mysql,
    async acquire() {
      const raw = await writers.acquire()
      return {
        rows: async (sql, bindings) => rowsOf(await say(raw, sql, bindings)),
        run: async (sql, bindings) => (await say(raw, sql, bindings)).affectedRows ?? 0,
        async release(broken) {
          if (broken) raw.__knex__disposed = new Error('left in an unknown state')
          await writers.release(raw)
        },
      }
    },
    async read(sql, bindings) {
      const raw = await readers.acquire()
      try {
        return rowsOf(await say(raw, sql, bindings))
      } finally {
        await readers.release(raw)
      }
    },
    async close() {
      await Promise.all([writers.close(), readers.close()])
    },
  }
}

interface Connections {
  acquire(): Promise<MysqlConnection>
  release(connection: MysqlConnection): Promise<void>
  close(): Promise<void>
}

function openConnections(connection: object, max: number, logger: Log | undefined): Connections {
  const knex = knexFactory({
    client: 'mysql2',
    connection,
    log: quiet(logger),
    acquireConnectionTimeout: 30_000,
    pool: {
      min: 0,
      max,
      // The first failure is reported as it is, and the unit of work decides; tarn would only repeat it until its time-out.
      propagateCreateError: true,
      afterCreate: (made: MysqlConnection, done: (error: unknown) => void) => {
        made.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED', (error) => {
          if (error) done(error)
          else made.query(SETTINGS, done)
        })
      },
    } as Knex.PoolConfig,
  })
  return {
    acquire: async () => await knex.client.acquireConnection(),
    release: async (one) => await knex.client.releaseConnection(one),
    close: async () => await knex.destroy(),
  }
}

interface Answer {
  readonly affectedRows?: number
}

interface MysqlConnection {
  query(sql: string, done: (error: unknown) => void): void
  query(sql: string, bindings: readonly Value[], done: (error: unknown, answer: Answer) => void): void
  /** What knex looks at before it hands a connection out again. */
  __knex__disposed?: Error
}

const say = (connection: MysqlConnection, sql: string, bindings: readonly Value[] = []): Promise<Answer> =>
  new Promise((resolve, reject) => {
    connection.query(sql, bindings, (error, answer) => (error ? reject(error) : resolve(answer)))
  })

const rowsOf = (answer: Answer): Row[] => (Array.isArray(answer) ? answer : [])

function quiet(logger: Log | undefined): Knex.Logger {
  const tell = (message: unknown): void => logger?.debug({ source: 'knex' }, String(message))
  return { warn: tell, error: tell, debug: tell, deprecate: tell }
}
