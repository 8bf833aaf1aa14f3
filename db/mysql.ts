/**
 * MariaDB/MySQL: one pool for transactions and reads. knex keeps the pool and looks after its connections; statements go
 * straight to the driver, for a query builder has nothing to add to finished SQL.
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
  const acquire = async (): Promise<MysqlConnection> => await knex.client.acquireConnection()
  const release = async (connection: MysqlConnection): Promise<void> => await knex.client.releaseConnection(connection)
  return {
    dialect: mysql,
    async acquire() {
      const raw = await acquire()
      return {
        rows: async (sql, bindings) => rowsOf(await say(raw, sql, bindings)),
        run: async (sql, bindings) => (await say(raw, sql, bindings)).affectedRows ?? 0,
        async release(broken) {
          if (broken) raw.__knex__disposed = new Error('left in an unknown state')
          await release(raw)
        },
      }
    },
    async read(sql, bindings) {
      const raw = await acquire()
      try {
        return rowsOf(await say(raw, sql, bindings))
      } finally {
        await release(raw)
      }
    },
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
