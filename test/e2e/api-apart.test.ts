/** An API process beside a worker process: what only the worker may look at is answered all the same. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCloud } from '../support/cloud.js'
import { freshDatabaseUrl } from '../support/databases.js'
import { type Service, startService } from '../support/service.js'

const TIMEOUT = 120_000
let database: Awaited<ReturnType<typeof freshDatabaseUrl>>
let api: Service
let worker: Service
const cloud = createCloud(() => api)

beforeAll(async () => {
  database = await freshDatabaseUrl('mariadb')
  const stateDir = mkdtempSync('/tmp/strata-')
  const env = { STRATA_DATABASE_URL: database.url, STRATA_HOST: 'one', STRATA_DOORBELL_SECRET: 'rings-for-the-other' }
  worker = await startService({ stateDir, env, args: ['--role', 'worker'] })
  api = await startService({ stateDir, env, args: ['--role', 'api'] })
}, TIMEOUT)
afterAll(async () => {
  for (const one of [worker, api]) await one?.stop()
  await database?.drop()
}, TIMEOUT)

it(
  'audits the storage of a running server',
  async () => {
    // No system on it: QEMU and its firmware are all this needs.
    const blank = join(api.stateDir, 'blank.qcow2')
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', blank, '1M'])
    const imageRef = await cloud.upload('blank', 'qcow2', 'bare', readFileSync(blank))
    await cloud.imageBecomes(imageRef, 'active')
    const sent = { server: { name: 'vm', imageRef, flavorRef: '42', networks: 'none' } }
    const { server } = await api.call<{ server: { id: string } }>('POST', '/compute/v2.1/servers', sent, {
      'openstack-api-version': 'compute 2.37',
    })
    await cloud.serverBecomes(server.id, 'ACTIVE', ['BUILD'])
    expect(await cloud.audit(server.id)).toMatchObject({
      live: true,
      findings: [],
      disks: [{ layers: [{ exists: true, open: true }, {}] }],
    })
    writeFileSync(join(cloud.pool(), 'stray.raw'), '')
    expect(await cloud.audit(server.id)).toMatchObject({ findings: [{ kind: 'orphan_file', subject: 'stray.raw' }] })
  },
  TIMEOUT,
)
