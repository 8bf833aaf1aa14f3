/** MariaDB only: connections that die at every moment, and a schema from the future. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openDatabase } from '../../db/connection.js'
import { ANY } from '../../src/ports/stores.js'
import { freshDatabase, type TestDatabase } from '../support/databases.js'
import { volumeRow } from '../support/rows.js'

let test: TestDatabase
beforeAll(async () => {
  test = await freshDatabase('mariadb')
})
afterAll(async () => {
  await test.close()
})

/** Ends every connection of this database but the command line's own. */
const killAll = async (): Promise<void> => {
  const ids = (
    await test.behindItsBack('SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()')
  ).trim()
  for (const id of ids.split('\n').filter(Boolean)) await test.behindItsBack(`KILL ${id}`).catch(() => {})
}

it('runs a unit of work again when its connection died in the middle', async () => {
  const row = volumeRow()
  let runs = 0
  await test.db.transaction(async (s) => {
    runs++
    await s.volumes.insert(row)
    if (runs === 1) await killAll()
    await s.volumes.update(row.id, { name: `run ${runs}` })
  })
  expect(runs).toBe(2)
  expect((await test.db.read.volumes.find(ANY, row.id))?.name).toBe('run 2')
})

/** A line to the server that can be cut at a COMMIT: before it is passed on, or once it was carried out. */
async function line(): Promise<{ url: string; cutAt(moment: 'before' | 'after'): void; cuts(): number; close(): Promise<void> }> {
  const home = await mkdtemp('/tmp/strata-line-')
  const path = join(home, 's.sock')
  const target = new URL(test.url)
  let armed: 'before' | 'after' | undefined
  let cuts = 0
  const open = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(target.searchParams.get('socketPath') ?? '')
    open.add(client)
    let dropReply = false
    const cut = (): void => {
      cuts++
      client.destroy()
      upstream.destroy()
    }
    client.on('data', (chunk) => {
      // Not the READ COMMITTED a new connection begins with.
      const commit = armed !== undefined && /COMMIT(?!TED)/.test(chunk.toString('latin1'))
      const moment = armed
      if (commit) armed = undefined
      if (commit && moment === 'before') return cut()
      if (commit) dropReply = true
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => (dropReply ? cut() : client.write(chunk)))
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const url = new URL(test.url)
  url.searchParams.set('socketPath', path)
  return {
    url: url.toString(),
    cutAt: (moment) => {
      armed = moment
    },
    cuts: () => cuts,
    async close() {
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      await rm(home, { recursive: true, force: true })
    },
  }
}

it.each([
  ['never reached the server', 'before', 2],
  ['was carried out but not answered', 'after', 1],
] as const)('finds out what became of a COMMIT that %s, and never commits twice', async (_, moment, expectedRuns) => {
  const wire = await line()
  const db = await openDatabase({ url: wire.url })
  for (let round = 0; round < 5; round++) {
    const row = volumeRow({ projectId: randomUUID() })
    let runs = 0
    wire.cutAt(moment)
    const result = await db.transaction(async (s) => {
      runs++
      await s.volumes.insert(row)
      return `answer ${runs}`
    })
    expect([result, runs, wire.cuts()]).toEqual([`answer ${expectedRuns}`, expectedRuns, round + 1])
    expect(await test.db.read.volumes.count({ projectId: row.projectId })).toBe(1)
  }
  await db.close()
  await wire.close()
})

it('reads on over a new connection when the idle ones died', async () => {
  await Promise.all(Array.from({ length: 5 }, () => test.db.read.volumes.count(ANY)))
  await killAll()
  await expect(Promise.all(Array.from({ length: 5 }, () => test.db.read.volumes.count(ANY)))).resolves.toHaveLength(5)
})

it('commits each unit of work exactly once while connections are killed at random', async () => {
  const rows = Array.from({ length: 60 }, () => volumeRow({ projectId: randomUUID(), sizeGib: 0 }))
  const counter = volumeRow({ sizeGib: 0 })
  await test.db.transaction((s) => s.volumes.insert(counter))
  let working = true
  const killer = (async () => {
    while (working) await killAll()
  })()
  let next = 0
  const work = async (): Promise<void> => {
    for (let row = rows[next++]; row !== undefined; row = rows[next++]) {
      const mine = row
      // Were one committed twice, the insert would clash; were one lost, the row would be missing.
      await test.db.transaction(async (s) => {
        await s.volumes.insert(mine)
        await s.volumes.transition(counter.id, ['available'], { description: mine.id })
        const size = (await s.volumes.find(ANY, counter.id))?.sizeGib ?? 0
        await s.volumes.update(counter.id, { sizeGib: size + 1 })
      })
    }
  }
  await Promise.all([work(), work(), work()])
  working = false
  await killer
  expect((await test.db.read.volumes.find(ANY, counter.id))?.sizeGib).toBe(rows.length)
  for (const row of rows) expect(await test.db.read.volumes.count({ projectId: row.projectId })).toBe(1)
})

it('refuses a schema newer than the program, saying which migration it does not know', async () => {
  await test.behindItsBack("INSERT INTO schema_migrations (name, applied_at) VALUES ('9999-from-the-future', 0)")
  await expect(openDatabase({ url: test.url })).rejects.toThrow(/newer version of Strata.*9999-from-the-future/)
  await test.behindItsBack("DELETE FROM schema_migrations WHERE name = '9999-from-the-future'")
})

it('goes on with a migration that was interrupted after its table was made', async () => {
  await test.behindItsBack("DELETE FROM schema_migrations WHERE name LIKE '0008%'; DROP TABLE quota_usages")
  const db = await openDatabase({ url: test.url })
  expect(await db.transaction((s) => s.quotas.take('p', 'o', { volumes: 1 }))).toBeUndefined()
  await db.close()
})

it('says that the database is not there, and where it looked only in the cause', async () => {
  const opening = openDatabase({ url: 'mysql://root@localhost/x?socketPath=/nonexistent/s.sock', patience: 50 })
  await expect(opening).rejects.toMatchObject({ kind: 'unavailable' })
})
