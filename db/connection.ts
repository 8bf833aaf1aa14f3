/**
 * The database, opened: migrated to this program's schema, ready for units of work. `sqlite:<path>` is the embedded
 * default; `mysql://user:password@host:port/database` (or `?socketPath=/path`) serves many API processes and hosts.
 */
import type { Micros } from '../src/domain/time.js'
import type { Database } from '../src/ports/stores.js'
import { migrate } from './migrate.js'
import type { Log, Pool } from './pool.js'
import { type Purged, type PurgeOptions, purge } from './purge.js'
import { createStores } from './stores/stores.js'
import { createUnitOfWork, type Engine, readSession } from './transaction.js'

export interface OpenOptions {
  readonly url: string
  readonly logger?: Log
  /** Wall clock for the stamps the stores make themselves. */
  readonly now?: () => Micros
  /** How long a unit of work, a read or the opening is tried again while the database is not there, milliseconds. */
  readonly patience?: number
}

export interface OpenDatabase extends Database {
  /** Forgets what nobody will ask for again; to be called now and then. */
  purge(options?: PurgeOptions): Promise<Purged>
}

export async function openDatabase({ url, logger, now = () => Date.now() * 1000, patience }: OpenOptions): Promise<OpenDatabase> {
  const pool = await openPool(url, logger)
  const engine: Engine = { pool, now, logger, patience }
  try {
    await migrate(engine)
  } catch (error) {
    await pool.close()
    throw error
  }
  return {
    transaction: createUnitOfWork(engine, createStores),
    read: createStores(readSession(engine)),
    purge: async (options) =>
      await purge(
        createUnitOfWork(engine, (session) => session),
        now(),
        options,
      ),
    close: pool.close,
  }
}

/** Each engine is loaded only by those who use it. */
async function openPool(url: string, logger: Log | undefined): Promise<Pool> {
  if (url.startsWith('sqlite:')) {
    const { openSqlite } = await import('./sqlite.js')
    return openSqlite(url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, ''))
  }
  if (url.startsWith('mysql://')) {
    const { openMysql } = await import('./mysql.js')
    return openMysql(url, logger)
  }
  throw new TypeError('the database url must begin with sqlite: or mysql://')
}
