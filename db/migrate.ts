/**
 * Brings the schema forward, never back. Each migration is one table or one statement and may be repeated, because
 * MariaDB keeps half of what a failed one did. One process migrates, the others wait; a schema that knows more than
 * this program is refused, since older code would write rows newer code cannot read.
 */
import { MIGRATIONS, type Migration } from './migrations/index.js'
import type { Connection } from './pool.js'
import { asText } from './session.js'
import { type Engine, persist } from './transaction.js'

export async function migrate(engine: Engine, migrations: readonly Migration[] = MIGRATIONS): Promise<void> {
  const known = new Set(migrations.map((m) => m.name))
  const missing = await persist(engine, async () => await lacking(engine, migrations, known))
  if (missing === 0) return
  await persist({ ...engine, patience: 60_000 }, async () => {
    const connection = await engine.pool.acquire()
    let broken = true
    try {
      if (engine.pool.dialect.engine === 'sqlite') await inOneTransaction(connection, engine, migrations)
      else await underNamedLock(connection, engine, migrations)
      broken = false
    } finally {
      await connection.release(broken)
    }
  })
}

/** How many are not applied yet: a look without any lock, so that an ordinary start waits for nobody. */
async function lacking({ pool }: Engine, migrations: readonly Migration[], known: ReadonlySet<string>): Promise<number> {
  let applied: Set<string>
  try {
    applied = new Set((await pool.read('SELECT name FROM schema_migrations')).map((row) => asText(row['name'])))
  } catch (error) {
    if (pool.dialect.meaning(error) !== 'other') throw error
    return migrations.length
  }
  refuseNewer(applied, known)
  return migrations.filter((m) => !applied.has(m.name)).length
}

function refuseNewer(applied: ReadonlySet<string>, known: ReadonlySet<string>): void {
  const newer = [...applied].filter((name) => !known.has(name)).sort()
  if (newer.length === 0) return
  throw new Error(
    `The database was written by a newer version of Strata (it has the migration ${newer[0]}${newer.length > 1 ? ` and ${newer.length - 1} more` : ''}, ` +
      'which this version does not know). Start the newer version, or restore a backup made by this one.',
  )
}

async function inOneTransaction(connection: Connection, engine: Engine, migrations: readonly Migration[]): Promise<void> {
  await connection.run('BEGIN IMMEDIATE')
  try {
    await apply(connection, engine, migrations, '')
    await connection.run('COMMIT')
  } catch (error) {
    await connection.run('ROLLBACK').catch(() => {})
    throw error
  }
}

async function underNamedLock(connection: Connection, engine: Engine, migrations: readonly Migration[]): Promise<void> {
  const [held] = await connection.rows("SELECT GET_LOCK(CONCAT('strata:', LEFT(DATABASE(), 50)), 60) AS held, VERSION() AS version")
  if (Number(held?.['held']) !== 1) throw new Error('another process has been migrating the database for a minute; try again later')
  try {
    // Exact comparison, trailing spaces included: the `_bin` collations alone would call 'a' and 'a ' equal.
    const collation = asText(held?.['version']).includes('MariaDB') ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin'
    await apply(connection, engine, migrations, collation)
  } finally {
    await connection.rows("SELECT RELEASE_LOCK(CONCAT('strata:', LEFT(DATABASE(), 50)))")
  }
}

async function apply(connection: Connection, { pool, now }: Engine, migrations: readonly Migration[], collation: string): Promise<void> {
  const ledger = { name: 'schema_migrations', columns: ['name WORD NOT NULL', 'applied_at INT NOT NULL'], indexes: ['unique name'] }
  for (const statement of pool.dialect.createTable(ledger, { collation })) await connection.run(statement)
  const applied = new Set((await connection.rows('SELECT name FROM schema_migrations')).map((row) => asText(row['name'])))
  refuseNewer(applied, new Set(migrations.map((m) => m.name)))
  for (const migration of migrations) {
    if (applied.has(migration.name)) continue
    const statements =
      'table' in migration ? pool.dialect.createTable(migration.table, { collation }) : [migration.sql[pool.dialect.engine]]
    for (const statement of statements) {
      try {
        await connection.run(statement)
      } catch (error) {
        if (!pool.dialect.alreadyThere(error)) throw new Error(`migration ${migration.name} failed`, { cause: error })
      }
    }
    await connection.run('INSERT INTO schema_migrations (name, applied_at) VALUES (?, ?)', [migration.name, now()])
  }
}
