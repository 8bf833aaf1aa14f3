/**
 * The database, opened: migrated to this program's schema, ready for units of work. `sqlite:<path>` is the embedded
 * default; `mysql://user:password@host:port/database` (or `?socketPath=/path`) serves many API processes and hosts.
 */
import type { Micros } from '../src/domain/time.js'
import type { Database } from '../src/ports/stores.js'
import { migrate } from './migrate.js'
import { type Log, openPool } from './pool.js'
import { createStores } from './stores/stores.js'
import { createUnitOfWork, readSession, type UnitOfWorkOptions } from './transaction.js'

export interface OpenOptions {
  readonly url: string
  readonly logger?: Log
  /** Wall clock for the stamps the stores make themselves. */
  readonly now?: () => Micros
}

export async function openDatabase({ url, logger, now = () => Date.now() * 1000 }: OpenOptions): Promise<Database> {
  const pool = openPool(url, logger)
  const options: UnitOfWorkOptions = { pool, stores: createStores, now, logger }
  try {
    await migrate(options)
  } catch (error) {
    await pool.close()
    throw error
  }
  return { transaction: createUnitOfWork(options), read: createStores(readSession(options)), close: pool.close }
}
