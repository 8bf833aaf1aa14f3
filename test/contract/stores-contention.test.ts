/** Many who want one counter, on MariaDB: each is served in its turn, and one that stands still in the middle is put out. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type OpenDatabase, openDatabase } from '../../db/connection.js'
import { ANY } from '../../src/ports/stores.js'
import { freshDatabaseUrl } from '../support/databases.js'
import { operation, volumeRow } from '../support/rows.js'
import { until } from '../support/until.js'

const MINUTE = 60_000_000
const pause = async (millis: number): Promise<void> => await new Promise((resolve) => setTimeout(resolve, millis))

const WAITING =
  "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE '%FOR UPDATE%'"

interface Again {
  readonly err?: { readonly errno?: number }
}

describe('one counter that many want (mariadb)', () => {
  let place: Awaited<ReturnType<typeof freshDatabaseUrl>>
  const again: Again[] = []
  const opened: OpenDatabase[] = []
  const open = async (logged: boolean): Promise<OpenDatabase> => {
    const logger = { warn: () => {}, debug: (fields: object) => void (logged && again.push(fields)) }
    const db = await openDatabase({ url: place.url, logger })
    opened.push(db)
    return db
  }
  beforeAll(async () => {
    place = await freshDatabaseUrl('mariadb')
  })
  afterAll(async () => {
    for (const db of opened) await db.close()
    await place.drop()
  })

  it('is taken in turn by slow acceptances while two workers claim what was accepted', async () => {
    const [hostId, projectId] = [randomUUID(), randomUUID()]
    const api = await open(true)
    const origin = { projectId, userId: 'u', requestId: 'r' }
    // Ten in a row take longer than any one of them would once wait.
    const accept = async (): Promise<void> =>
      await api.transaction(async (stores) => {
        const volume = volumeRow({ projectId })
        await stores.quotas.take(projectId, volume.id, { volumes: 1, gigabytes: 1 })
        await pause(650)
        await stores.volumes.insert(volume)
        await stores.jobs.enqueue(operation(), { locks: [`chain:${volume.id}`] }, { hostId, origin })
      })
    let accepting = true
    const settled: string[] = []
    const work = async (workerId: string): Promise<void> => {
      const db = await open(false)
      const claim = { hostId, workerId, leaseFor: MINUTE, except: [] }
      while (accepting || settled.length < 10) {
        const found = await db.transaction((stores) => stores.jobs.claim({ ...claim, now: Date.now() * 1000 }))
        if (found === undefined) await pause(20)
        else {
          await db.transaction((stores) => stores.jobs.settle(found.lease, 'done', null))
          settled.push(found.job.id)
        }
      }
    }
    const workers = [work('one'), work('two')]
    await Promise.all(Array.from({ length: 10 }, accept)).finally(() => {
      accepting = false
    })
    await Promise.all(workers)
    expect(new Set(settled).size).toBe(10)
    expect(await api.read.quotas.usage(projectId)).toMatchObject({ volumes: 10, gigabytes: 10 })
    // Only those who found no counter yet may have made one at once; nobody gave up a place in the queue.
    expect(again.filter(({ err }) => err?.errno === 1205)).toEqual([])
  })

  it('keeps nobody from reading, however many wait for it', async () => {
    const projectId = randomUUID()
    const [api, holder] = [await open(false), await open(false)]
    const take = (db: OpenDatabase, id: string) => db.transaction((stores) => stores.quotas.take(projectId, id, { volumes: 1 }))
    await take(holder, 'first')
    const waiting: Promise<unknown>[] = []
    await holder.transaction(async (stores) => {
      await stores.quotas.take(projectId, 'held', { volumes: 1 })
      // More than there are connections for transactions.
      for (let index = 0; index < 30; index++) waiting.push(take(api, `waits-${index}`))
      await until(async () => Number(await place.says(WAITING)) >= 10, { what: 'all connections to wait for the row' })
      const read = Promise.all(Array.from({ length: 20 }, () => api.read.roles.count(ANY)))
      expect(await Promise.race([read, pause(5000).then(() => 'waits')])).toHaveLength(20)
    })
    await Promise.all(waiting)
    expect(await api.read.quotas.usage(projectId)).toMatchObject({ volumes: 32 })
  })

  it('is free again when the process that holds it stands still', async () => {
    const projectId = randomUUID()
    const api = await open(false)
    const script = fileURLToPath(new URL('../support/stalled-holder.ts', import.meta.url))
    const child = spawn(process.execPath, ['--import', 'tsx', script, place.url, projectId], { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      await once(child.stdout, 'data')
      child.kill('SIGSTOP')
      expect(await api.transaction((stores) => stores.quotas.take(projectId, 'mine', { volumes: 1 }))).toBeUndefined()
      expect(await api.read.quotas.usage(projectId)).toMatchObject({ volumes: 1 })
    } finally {
      child.kill('SIGKILL')
    }
  })
})
