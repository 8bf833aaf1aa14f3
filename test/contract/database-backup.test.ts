/** Backups of the embedded database: one moment of it, taken while others write, whole or not there. */
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { backupDatabase, checkDatabase } from '../../db/backup.js'
import { openDatabase } from '../../db/connection.js'
import { ANY } from '../../src/ports/stores.js'
import { freshDatabase, type TestDatabase } from '../support/databases.js'
import { volumeRow } from '../support/rows.js'

let test: TestDatabase
const dir = mkdtempSync('/tmp/strata-backup-')
const fresh = (): string => join(dir, `${randomUUID()}.sqlite`)
beforeAll(async () => {
  test = await freshDatabase('sqlite')
})
afterAll(async () => {
  await test.close()
  rmSync(dir, { recursive: true, force: true })
})

it('are one moment of a database that is being written: never half a transaction', async () => {
  const { db } = test
  let writing = true
  // Each transaction makes a pair; a copy with an odd number would have caught one in its middle.
  const writer = (async () => {
    while (writing) {
      // SQLite answers at once: without this nobody else would get a turn.
      await new Promise((resolve) => setImmediate(resolve))
      await db.transaction(async (s) => {
        const projectId = randomUUID()
        await s.volumes.insert(volumeRow({ projectId, description: 'x'.repeat(5000) }))
        await s.volumes.insert(volumeRow({ projectId }))
      })
    }
  })()
  const sizes: number[] = []
  for (let round = 0; round < 5; round++) {
    const file = fresh()
    await backupDatabase(test.url, file)
    const copy = await openDatabase({ url: `sqlite:${file}` })
    const rows = await copy.read.volumes.list(ANY)
    await copy.close()
    const pairs = new Map<string, number>()
    for (const { projectId } of rows) pairs.set(projectId, (pairs.get(projectId) ?? 0) + 1)
    expect([...pairs.values()].filter((count) => count !== 2)).toEqual([])
    sizes.push(rows.length)
  }
  writing = false
  await writer
  expect(sizes.at(-1)).toBeGreaterThan(0)
})

it('lie there as one file that only its owner reads, and hold what was committed before', async () => {
  const row = volumeRow()
  await test.db.transaction((s) => s.volumes.insert(row))
  const file = fresh()
  const old = process.umask(0o077)
  const checked = await backupDatabase(test.url, file).finally(() => process.umask(old))
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readdirSync(dir).filter((name) => name.startsWith(file.split('/').at(-1) ?? '?'))).toHaveLength(1)
  expect(checked).toMatchObject({ bytes: statSync(file).size, schema: expect.stringMatching(/^\d{4}/) })
  const copy = await openDatabase({ url: `sqlite:${file}` })
  expect(await copy.read.volumes.find(ANY, row.id)).toMatchObject({ id: row.id })
  await copy.close()
})

it('overwrite nothing, leave nothing half behind, and are refused where they make no sense', async () => {
  const taken = fresh()
  writeFileSync(taken, 'precious')
  await expect(backupDatabase(test.url, taken)).rejects.toThrow('is there already')
  expect(readFileSync(taken, 'utf8')).toBe('precious')
  await expect(backupDatabase(test.url, '/nonexistent/b.sqlite')).rejects.toThrow('the backup failed')
  await expect(backupDatabase(`sqlite:${fresh()}`, fresh())).rejects.toThrow('there is no database at')
  await expect(backupDatabase('mysql://u@h/d', fresh())).rejects.toThrow('mariadb-dump')
  expect(readdirSync(dir).filter((name) => name.endsWith('.part'))).toEqual([])
})

it('are found out when they are damaged or not ours', async () => {
  const file = fresh()
  await backupDatabase(test.url, file)
  expect(await checkDatabase(`sqlite:${file}`)).toMatchObject({ rows: expect.any(Number) })
  const bytes = readFileSync(file)
  const damaged = fresh()
  writeFileSync(damaged, Buffer.concat([bytes.subarray(0, 8192), Buffer.alloc(bytes.length - 8192, 0x5a)]))
  await expect(checkDatabase(`sqlite:${damaged}`)).rejects.toThrow()
  const text = fresh()
  writeFileSync(text, 'no database, this')
  await expect(checkDatabase(`sqlite:${text}`)).rejects.toThrow('cannot be read as a database')
  expect(existsSync(`${text}-wal`)).toBe(false)
})
