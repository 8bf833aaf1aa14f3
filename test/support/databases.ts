/**
 * A database of its own for every test file, on both engines, through the real `openDatabase`.
 *
 *   describeOnEachDatabase('the volume store', (database) => {
 *     it('finds what was inserted', async () => {
 *       const { db } = database()          // inside it/hooks only: opened in beforeAll, dropped in afterAll
 *       await db.transaction((s) => s.volumes.insert(…))
 *       const other = await database().open()   // a further connection to the same database, closed for you
 *     })
 *   })
 *
 * Where one engine is enough: `const { db, close } = await freshDatabase('sqlite')`, and `close()` in afterAll.
 * Tests of one file share the database: give each its own ids and project.
 */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, inject } from 'vitest'
import { openDatabase } from '../../db/connection.js'
import type { Database } from '../../src/ports/stores.js'
import { mariaDbSays } from './mariadb.js'

export const ENGINES = ['sqlite', 'mariadb'] as const
export type Engine = (typeof ENGINES)[number]

export interface TestDatabase {
  readonly engine: Engine
  readonly url: string
  readonly db: Database
  /** Another program on the same database. */
  open(): Promise<Database>
  /** MariaDB only: SQL behind the program's back, as the server's root. */
  behindItsBack(sql: string): Promise<string>
  close(): Promise<void>
}

export function describeOnEachDatabase(title: string, body: (database: () => TestDatabase) => void): void {
  describe.each(ENGINES)(`${title} (%s)`, (engine) => {
    let opened: TestDatabase | undefined
    beforeAll(async () => {
      opened = await freshDatabase(engine)
    })
    afterAll(async () => {
      await opened?.close()
    })
    body(() => {
      if (opened === undefined) throw new Error('the database is open inside tests and hooks only')
      return opened
    })
  })
}

/** Where a fresh, empty database is, without opening it: for programs the test starts. */
export async function freshDatabaseUrl(
  engine: Engine,
): Promise<{ url: string; says(sql: string): Promise<string>; drop(): Promise<void> }> {
  if (engine === 'sqlite') {
    const home = await mkdtemp('/tmp/strata-db-')
    return {
      url: `sqlite:${join(home, 'strata.sqlite')}`,
      says: async () => {
        throw new Error('SQLite has no other side')
      },
      drop: async () => await rm(home, { recursive: true, force: true }),
    }
  }
  const server = inject('mariadb')
  if ('missing' in server) throw new Error(server.missing)
  const { socketPath } = server
  const name = `strata_${randomUUID().replaceAll('-', '')}`
  await mariaDbSays(socketPath, `CREATE DATABASE ${name}`)
  return {
    url: `mysql://root@localhost/${name}?socketPath=${encodeURIComponent(socketPath)}`,
    says: async (sql) => await mariaDbSays(socketPath, `USE ${name}; ${sql}`),
    drop: async () => {
      await mariaDbSays(socketPath, `DROP DATABASE IF EXISTS ${name}`)
    },
  }
}

export async function freshDatabase(engine: Engine): Promise<TestDatabase> {
  const place = await freshDatabaseUrl(engine)
  const all: Database[] = []
  const open = async (): Promise<Database> => {
    const db = await openDatabase({ url: place.url })
    all.push(db)
    return db
  }
  try {
    return {
      engine,
      url: place.url,
      db: await open(),
      open,
      behindItsBack: place.says,
      async close() {
        await Promise.all(all.map((db) => db.close()))
        await place.drop()
      },
    }
  } catch (error) {
    await place.drop()
    throw error
  }
}
