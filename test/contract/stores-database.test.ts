/** The database itself: what a transaction promises, what becomes of lost connections, schema versions, forgetting. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { type OpenDatabase, openDatabase } from '../../db/connection.js'
import { seedDatabase } from '../../db/seed.js'
import { ANY, type Claim } from '../../src/ports/stores.js'
import { describeOnEachDatabase, freshDatabase, freshDatabaseUrl } from '../support/databases.js'
import { AT, imageRow, operation, serverRow, snapshotRow, volumeRow } from '../support/rows.js'

const run = promisify(execFile)
const DAY = 86_400_000_000

describeOnEachDatabase('a database', (database) => {
  it('leaves nothing of a unit of work that failed', async () => {
    const { db } = database()
    const row = volumeRow()
    const work = db.transaction(async (s) => {
      await s.volumes.insert(row)
      await s.quotas.take('p', row.id, { volumes: 1 })
      expect(await s.volumes.find(ANY, row.id)).toBeDefined()
      throw new Error('no')
    })
    await expect(work).rejects.toThrow('no')
    expect(await db.read.volumes.find(ANY, row.id)).toBeUndefined()
    expect((await db.read.quotas.usage('p'))['volumes']).toBe(0)
  })

  it('shows nothing of a unit of work before it is committed, and does not make readers wait', async () => {
    const { db } = database()
    const row = volumeRow()
    await db.transaction(async (s) => {
      await s.volumes.insert(row)
      expect(await db.read.volumes.find(ANY, row.id)).toBeUndefined()
    })
    expect(await db.read.volumes.find(ANY, row.id)).toBeDefined()
  })

  it('refuses a transaction inside a transaction, a change outside one, and a store used after its end', async () => {
    const { db } = database()
    await expect(db.transaction(() => db.transaction(async () => {}))).rejects.toThrow('inside a transaction')
    await expect(db.read.roles.insert({ id: 'x', name: 'x' })).rejects.toThrow('outside a transaction')
    const leaked = await db.transaction(async (s) => [s.roles])
    await expect(leaked[0]?.count(ANY)).rejects.toThrow('has ended')
    // What was merely begun inside may open its own once the first has ended.
    const later = await db.transaction(async () => [
      new Promise((resolve) => setImmediate(resolve)).then(() => db.transaction(async () => 7)),
    ])
    expect(await later[0]).toBe(7)
  })

  it('goes on after a failed statement was caught inside a unit of work', async () => {
    const { db } = database()
    const [a, b] = [volumeRow(), volumeRow()]
    await db.transaction(async (s) => {
      await s.volumes.insert(a)
      await s.volumes.insert(a).catch(() => {})
      await s.volumes.insert(b)
    })
    expect(await db.read.volumes.find(ANY, a.id)).toBeDefined()
    expect(await db.read.volumes.find(ANY, b.id)).toBeDefined()
  })

  it('resolves conflicts of opposite order by running again, so that every increment counts', async () => {
    const { db, open } = database()
    const connections = [db, await open(), await open()]
    const [a, b] = [volumeRow({ sizeGib: 0 }), volumeRow({ sizeGib: 0 })]
    await db.transaction((s) => s.volumes.insert(a))
    await db.transaction((s) => s.volumes.insert(b))
    let runs = 0
    const add = (own: OpenDatabase | typeof db, ids: string[]): Promise<void> =>
      own.transaction(async (s) => {
        runs++
        for (const id of ids) {
          await s.volumes.transition(id, ['available'], { description: `${runs}` })
          const size = (await s.volumes.find(ANY, id))?.sizeGib ?? 0
          await s.volumes.update(id, { sizeGib: size + 1 })
        }
      })
    await Promise.all(Array.from({ length: 24 }, (_, i) => add(connections[i % 3] ?? db, i % 2 ? [a.id, b.id] : [b.id, a.id])))
    expect((await db.read.volumes.find(ANY, a.id))?.sizeGib).toBe(24)
    expect((await db.read.volumes.find(ANY, b.id))?.sizeGib).toBe(24)
  })

  it('gives sequence numbers that rise in order of acceptance', async () => {
    const { db } = database()
    const projectId = randomUUID()
    for (let i = 0; i < 5; i++) await db.transaction((s) => s.volumes.insert(volumeRow({ projectId, name: `${i}` })))
    const seen = await db.read.volumes.list({ projectId }, { sort: [{ key: 'seq', dir: 'asc' }] })
    expect(seen.map((v) => v.name)).toEqual(['0', '1', '2', '3', '4'])
  })

  it('gives every job to exactly one of several processes', async () => {
    const { db, url } = database()
    const hostId = randomUUID()
    const ids: string[] = []
    for (let i = 0; i < 40; i++) {
      const options = { hostId, origin: { projectId: 'p', userId: 'u', requestId: 'r' } }
      ids.push(await db.transaction((s) => s.jobs.enqueue(operation(), { locks: [`chain:${hostId}-${i % 7}`] }, options)))
    }
    const script = fileURLToPath(new URL('../support/claimer.ts', import.meta.url))
    const outputs = await Promise.all([1, 2, 3].map((n) => run(process.execPath, ['--import', 'tsx', script, url, hostId, `w${n}`])))
    const ran = outputs.flatMap(({ stdout }) => JSON.parse(stdout) as string[])
    expect(ran.sort()).toEqual(ids.sort())
    const jobs = await db.read.jobs.list(ANY, { where: { hostId: { is: hostId } } })
    expect(new Set(jobs.map((j) => `${j.state} ${j.attempts} ${j.leaseToken}`))).toEqual(new Set(['done 1 1']))
  })

  it('is migrated once when many open it at the same time', async () => {
    const place = await freshDatabaseUrl(database().engine)
    const all = await Promise.all(Array.from({ length: 4 }, () => openDatabase({ url: place.url })))
    await Promise.all(all.map((db) => seedDatabase(db, AT)))
    await seedDatabase(all[0] as OpenDatabase, AT)
    const db = all[0] as OpenDatabase
    expect((await db.read.roles.list(ANY)).map((r) => r.name).sort()).toEqual(['admin', 'member', 'reader'])
    expect((await db.read.flavors.list(ANY)).map((f) => f.id).sort()).toEqual(['1', '2', '42', '84'])
    expect((await db.read.volumeTypes.list(ANY)).map((t) => t.name)).toEqual(['__DEFAULT__'])
    expect((await db.read.projects.list(ANY)).map((p) => p.name)).toEqual(['admin'])
    await Promise.all(all.map((each) => each.close()))
    await place.drop()
  })

  it('forgets what is over, in small steps, and nothing else', async () => {
    const now = AT + 100 * DAY
    const place = await freshDatabaseUrl(database().engine)
    const db = await openDatabase({ url: place.url, now: () => now })
    const origin = { projectId: 'p', userId: 'u', requestId: 'r' }
    const token = (id: string, expiresAt: number) => ({
      id,
      userId: 'u',
      projectId: null,
      methods: [],
      auditIds: [],
      issuedAt: AT,
      expiresAt,
    })
    const kept = { server: serverRow(), snapshot: snapshotRow({ status: 'available' }), image: imageRow() }
    const goneImage = imageRow({ status: 'deleted' })
    await db.transaction(async (s) => {
      for (let i = 0; i < 7; i++) await s.tokens.insert(token(`old${i}`, now - 1))
      await s.tokens.insert(token('valid', now + 1))
      await s.servers.insert(kept.server)
      await s.servers.insert(serverRow({ vmState: 'deleted', deletedAt: AT }))
      await s.servers.insert(serverRow({ id: 'fresh', vmState: 'deleted', deletedAt: now }))
      await s.snapshots.insert(kept.snapshot)
      await s.snapshots.insert(snapshotRow({ status: 'deleted', updatedAt: AT }))
      await s.images.insert(kept.image)
      await s.images.insert(goneImage)
      await s.imageMembers.insert({ id: 'm', imageId: goneImage.id, memberId: 'x', status: 'pending', createdAt: AT, updatedAt: AT })
      await s.jobs.enqueue(operation(), { locks: [] }, { hostId: 'h', origin })
      await s.jobs.enqueue(operation(), { locks: [] }, { hostId: 'h', origin })
    })
    const done = (await db.transaction((s) => s.jobs.claim({ hostId: 'h', workerId: 'w', now, leaseFor: 1, except: [] }))) as Claim
    await db.transaction((s) => s.jobs.journal(done.lease, [{ name: 'one', kind: 'step', ordinal: 0, state: 'done' }]))
    await db.transaction((s) => s.jobs.settle(done.lease, 'done', null))
    expect(await db.purge({ batch: 2 })).toMatchObject({ tokens: 7, servers: 1, snapshots: 1, images: 1, jobs: 0 })
    expect(await db.purge({ jobs: -1, deleted: -1 })).toMatchObject({ tokens: 0, servers: 1, snapshots: 0, jobs: 1 })
    expect((await db.read.tokens.list(ANY)).map((t) => t.id)).toEqual(['valid'])
    expect((await db.read.servers.list(ANY)).map((r) => r.id)).toEqual([kept.server.id])
    expect(await db.read.imageMembers.count(ANY)).toBe(0)
    expect(await db.read.jobs.steps(done.job.id)).toEqual([])
    expect(await db.read.jobs.list(ANY)).toHaveLength(1)
    await db.close()
    await place.drop()
  })
})

it('refuses a database url it does not know, with its reason', async () => {
  await expect(openDatabase({ url: 'postgres://x' })).rejects.toThrow('sqlite: or mysql://')
  await expect(openDatabase({ url: 'sqlite:' })).rejects.toThrow('names no file')
  await expect(openDatabase({ url: 'mysql://root@localhost/' })).rejects.toThrow('names no database')
})

it('keeps the SQLite file and its companions from other users', async () => {
  const { url, db, close } = await freshDatabase('sqlite')
  await db.transaction((s) => s.roles.insert({ id: 'r', name: 'r' }))
  const path = url.slice('sqlite:'.length)
  for (const file of [path, `${path}-wal`, `${path}-shm`]) expect((await stat(file)).mode & 0o077, file).toBe(0)
  await close()
})
