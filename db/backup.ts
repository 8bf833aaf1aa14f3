/**
 * A copy of the embedded database, taken while the service works on it: SQLite's online backup, all pages in one step, so
 * the copy is one moment of the original and nobody waits. It appears under its name only when it is whole, checked and on
 * disk, as one file without a log beside it.
 */
import { constants } from 'node:fs'
import { access, link, open, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import Driver from 'better-sqlite3'
import { MIGRATIONS } from './migrations/index.js'

/** What a caller is told instead of a stack. */
export class BackupRefused extends Error {}

export interface Checked {
  readonly bytes: number
  readonly tables: number
  readonly rows: number
  /** Newest migration it has. */
  readonly schema: string
}

const SERVERS_OWN =
  'The database is MariaDB or MySQL: use its own tools, for example: mariadb-dump --single-transaction --routines <database> > strata.sql'

/** More pages than any database has. */
const ALL_PAGES = 2 ** 31 - 1

export async function backupDatabase(url: string, target: string): Promise<Checked> {
  const source = await existing(sqliteFile(url))
  if (await exists(target)) throw new BackupRefused(`${target} is there already; a backup overwrites nothing`)
  const part = `${target}.part`
  await rm(part, { force: true })
  try {
    const original = new Driver(source, { readonly: true, fileMustExist: true, timeout: 30_000 })
    try {
      await original.backup(part, { progress: () => ALL_PAGES })
    } finally {
      original.close()
    }
    const copy = new Driver(part)
    copy.pragma('journal_mode = DELETE')
    copy.close()
    const checked = await checkDatabase(`sqlite:${part}`)
    await flush(part)
    // Not renamed: that would replace what somebody put there meanwhile.
    await link(part, target)
    await flush(dirname(target))
    return checked
  } catch (error) {
    throw error instanceof BackupRefused ? error : new BackupRefused(`the backup failed: ${(error as Error).message}`)
  } finally {
    await rm(part, { force: true })
  }
}

/** Is every page, index and reference sound, and can this program read it? Changes nothing. */
export async function checkDatabase(url: string): Promise<Checked> {
  const path = await existing(sqliteFile(url))
  let database: Driver.Database | undefined
  try {
    database = new Driver(path, { readonly: true, fileMustExist: true, timeout: 30_000 })
    return { bytes: (await stat(path)).size, ...examine(database) }
  } catch (error) {
    throw error instanceof BackupRefused ? error : new BackupRefused(`${path} cannot be read as a database: ${(error as Error).message}`)
  } finally {
    database?.close()
  }
}

function examine(database: Driver.Database): Omit<Checked, 'bytes'> {
  const faults = (database.pragma('integrity_check') as { integrity_check: string }[]).map((row) => row.integrity_check)
  if (faults.length !== 1 || faults[0] !== 'ok') throw new BackupRefused(`the database is damaged: ${faults.slice(0, 3).join('; ')}`)
  const dangling = (database.pragma('foreign_key_check') as { table: string }[]).map((row) => row.table)
  if (dangling.length > 0) throw new BackupRefused(`rows refer to rows that are not there, in: ${[...new Set(dangling)].join(', ')}`)
  const tables = database
    .prepare<[], string>("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .pluck()
    .all()
  if (!tables.includes('schema_migrations')) throw new BackupRefused('it is a database, but not one of Strata')
  const applied = database.prepare<[], string>('SELECT name FROM schema_migrations ORDER BY name').pluck().all()
  const newer = applied.find((name) => !MIGRATIONS.some((known) => known.name === name))
  if (newer !== undefined) throw new BackupRefused(`it was written by a newer version of Strata, which has the migration ${newer}`)
  const count = (table: string): number => database.prepare<[], number>(`SELECT COUNT(*) FROM \`${table}\``).pluck().get() ?? 0
  return { tables: tables.length, rows: tables.reduce((sum, table) => sum + count(table), 0), schema: applied.at(-1) ?? 'none' }
}

function sqliteFile(url: string): string {
  if (!url.startsWith('sqlite:')) throw new BackupRefused(SERVERS_OWN)
  return url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '')
}

async function existing(path: string): Promise<string> {
  if (!(await exists(path))) throw new BackupRefused(`there is no database at ${path}`)
  return path
}

const exists = async (path: string): Promise<boolean> =>
  await access(path, constants.F_OK).then(
    () => true,
    () => false,
  )

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
