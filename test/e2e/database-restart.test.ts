/**
 * MariaDB is killed and comes back while a tenant asks for much at once: what was accepted reaches its end, what was not is
 * refused as unavailable, and nobody has to restart the service.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCloud } from '../support/cloud.js'
import { type MariaDb, mariaDbSays, startMariaDb } from '../support/mariadb.js'
import { type Service, startService } from '../support/service.js'

const TIMEOUT = 120_000
let database: MariaDb
let service: Service
const cloud = createCloud(() => service)

beforeAll(async () => {
  database = await startMariaDb()
  await mariaDbSays(database.socketPath, 'CREATE DATABASE strata')
  const url = `mysql://root@localhost/strata?socketPath=${encodeURIComponent(database.socketPath)}`
  service = await startService({ env: { STRATA_DATABASE_URL: url, STRATA_LEASE_MS: '3000', STRATA_POLL_INTERVAL_MS: '100' } })
}, TIMEOUT)
afterAll(async () => {
  await service?.stop()
  await database?.stop()
}, TIMEOUT)

it(
  'outlives its database, and what it had accepted is done',
  async () => {
    const token = await service.token()
    const source = await cloud.createVolume()
    const ask = async (body: object, path: string): Promise<{ status: number; id: string | undefined }> => {
      const headers = { 'x-auth-token': token, 'content-type': 'application/json' }
      const answer = await fetch(`${service.url}/volume/v3/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
      const said = (await answer.json().catch(() => ({}))) as Record<string, { id?: string }>
      return { status: answer.status, id: (said['snapshot'] ?? said['volume'])?.id }
    }
    const burst = (count: number) =>
      Array.from({ length: count }, (_, at) =>
        at % 2 === 0
          ? ask({ snapshot: { volume_id: source, force: true } }, 'snapshots')
          : ask({ volume: { size: 1, source_volid: source } }, 'volumes'),
      )
    for (let round = 0; round < 3; round++) {
      const before = burst(8)
      let away: Promise<{ status: number }>[] = []
      await database.restart(async () => {
        away = burst(4)
      })
      const answers = await Promise.all([...before, ...away])
      for (const { status } of answers) expect([202, 503]).toContain(status)
    }
    expect(await cloud.settled()).toEqual([])
    type Listed = Record<string, { id: string; status: string }[]>
    for (const kind of ['snapshots', 'volumes'])
      for (const one of (await cloud.call<Listed>('GET', `/volume/v3/${kind}/detail`))[kind] ?? [])
        expect(one.status, `${kind} ${one.id}: ${JSON.stringify((await cloud.jobs()).filter((job) => job.resource_id === one.id))}`).toBe(
          'available',
        )
    expect(service.process.exitCode).toBeNull()
  },
  TIMEOUT,
)
