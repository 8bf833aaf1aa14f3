/**
 * One process for the API and two workers of one host on one MariaDB: no job runs twice, and a worker that was stopped past
 * its lease changes nothing any more. Seen from outside: through the API and on the disks.
 */
import { mkdtempSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCloud, damaged, type SeenJob } from '../support/cloud.js'
import { freshDatabaseUrl } from '../support/databases.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const TIMEOUT = 120_000
const LEASE_MS = 3000

let database: Awaited<ReturnType<typeof freshDatabaseUrl>>
let api: Service
const workers: Service[] = []
const cloud = createCloud(() => api)

async function start(role: 'api' | 'worker', stateDir: string): Promise<Service> {
  const env = {
    STRATA_DATABASE_URL: database.url,
    STRATA_HOST: 'one',
    STRATA_LEASE_MS: String(LEASE_MS),
    STRATA_POLL_INTERVAL_MS: '100',
    STRATA_CONCURRENCY: '3',
  }
  return await startService({ stateDir, env, args: ['--role', role] })
}

beforeAll(async () => {
  database = await freshDatabaseUrl('mariadb')
  const stateDir = mkdtempSync('/tmp/strata-')
  workers.push(await start('worker', stateDir), await start('worker', stateDir))
  api = await start('api', stateDir)
}, TIMEOUT)
afterAll(async () => {
  for (const one of [...workers, api]) one?.process.kill('SIGCONT')
  for (const one of [...workers, api]) await one?.stop()
  await database?.drop()
}, TIMEOUT)

interface Step {
  readonly name: string
  readonly attempts: number
  readonly state: string
}
const steps = async (job: SeenJob): Promise<Step[]> => (await cloud.call<{ steps: Step[] }>('GET', `/strata/v1/jobs/${job.id}`)).steps

/** Five volumes; of each a snapshot and a clone of that. Returns once all was accepted. */
async function ask(): Promise<void> {
  const each = Array.from({ length: 5 }, (_, n) => n)
  await Promise.all(
    each.map(async () => {
      const volume = await cloud.createVolume()
      const snapshot = await cloud.requestSnapshot(volume)
      await cloud.snapshotBecomes(snapshot, 'available')
      await cloud.createVolume({ snapshot_id: snapshot })
      await cloud.deleteSnapshot(snapshot)
    }),
  )
}

describe('two workers on one database', () => {
  it(
    'share the work, and no job and no step is done by both',
    async () => {
      await ask()
      expect(await cloud.settled()).toEqual([])
      const jobs = await cloud.jobs()
      expect(jobs.length).toBeGreaterThanOrEqual(20)
      const again = jobs.filter((job) => job.state !== 'done' || job.attempts !== 1)
      expect(again).toEqual([])
      for (const job of jobs) for (const step of await steps(job)) expect(step).toMatchObject({ state: 'done', attempts: 1 })
      const started = workers.map((worker) => worker.log().split('"job ended"').length - 1)
      expect(started.reduce((sum, count) => sum + count, 0)).toBe(jobs.length)
      for (const count of started) expect(count).toBeGreaterThan(0)
      expect(await damaged(cloud.pool(), 'refused')).toEqual([])
    },
    TIMEOUT,
  )

  it(
    'go on when one is stopped past its lease, and what it does when it is continued has no effect',
    async () => {
      const [stopped, other] = workers as [Service, Service]
      const ended = (): number => stopped.log().split('"job ended"').length
      const before = ended()
      const asked = ask()
      await until(() => ended() > before, { what: 'it to be busy' })
      stopped.process.kill('SIGSTOP')
      await asked
      expect(await cloud.settled()).toEqual([])
      const settled = { jobs: await cloud.jobs(), files: cloud.layerFiles() }
      expect(settled.jobs.filter((job) => job.state !== 'done')).toEqual([])
      stopped.process.kill('SIGCONT')
      // It has been ended with its leases, or finds that it holds none: either way new work is done once.
      await ask()
      expect(await cloud.settled()).toEqual([])
      const known = new Set(settled.jobs.map((job) => job.id))
      const after = await cloud.jobs()
      expect(after.filter((job) => known.has(job.id))).toEqual(settled.jobs)
      // One it was just claiming when it was stopped is claimed with a lease of before, so the other takes it over.
      expect(after.filter((job) => !known.has(job.id) && (job.state !== 'done' || job.attempts > 2))).toEqual([])
      expect(cloud.layerFiles()).toEqual(expect.arrayContaining(settled.files))
      expect(other.process.exitCode).toBeNull()
      expect(await damaged(cloud.pool(), 'refused')).toEqual([])
    },
    TIMEOUT,
  )
})
