/**
 * The API for tests: the real application over a real SQLite database, no worker. What is accepted
 * stays accepted (jobs are enqueued, statuses are `creating`): the tests of handlers look at exactly that.
 *
 *   let api: TestApi
 *   beforeAll(async () => { api = await openApi() })
 *   afterAll(() => api.close())
 *
 *   const { body } = await api.as('member').post('/volume/v3/volumes').send({ volume: { size: 1 } }).expect(202)
 *   await api.as('foreign').get(`/volume/v3/volumes/${body.volume.id}`).expect(404)
 *   await api.as('member', { 'OpenStack-API-Version': 'volume 3.65' }).get(…)
 *   await api.as(null).get(…).expect(401)
 *
 * Callers: `member` and `reader` share a project, `foreign` is a member of another one, `admin` is admin of its own.
 * `api.caller('member')` gives the Caller for calling services, `api.db` the database to arrange rows the API cannot
 * (`api.db.transaction((stores) => stores.volumes.transition(…))`), `api.rung` the hosts whose doorbell rang,
 * `api.faults` every error that became a 500: `close()` fails the test file if one is left in it.
 *
 * Coverage: each test that proves something of an operation says so in a call of `covers`, found by reading the test
 * files (coverage.test.ts): `covers('createSnapshot', 'success', 'invalid', 'foreign', 'wrong state')`; of an action
 * `covers('snapshotAction:os-reset_status', 'success')`. Both arguments must be literal. `unauthorised` needs no test:
 * the crawl proves it for all.
 */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Express } from 'express'
import supertest from 'supertest'
import { type AppDeps, createApp } from '../../api/app.js'
import { seedDatabase } from '../../db/seed.js'
import type { Caller } from '../../src/domain/caller.js'
import { systemClock } from '../../src/host/clock.js'
import { createHostAuditor } from '../../src/host/host-auditor.js'
import { createImageStore } from '../../src/host/image-store.js'
import type { StorageAuditor } from '../../src/ports/auditor.js'
import type { Database } from '../../src/ports/stores.js'
import { DEFAULT_SETTINGS, type ServiceDeps } from '../../src/services/deps.js'
import { createServices, type Services } from '../../src/services/services.js'
import { freshDatabase } from './databases.js'

export const HOST_ID = 'host-a'
export type Role = 'admin' | 'member' | 'reader' | 'foreign'
export type Covered = 'success' | 'invalid' | 'foreign' | 'wrong state'

/** Says that the surrounding test proves these for the operation; does nothing else. */
export function covers(_operation: string, ..._proved: readonly [Covered, ...Covered[]]): void {}

/** What an auditor says of layers that nobody has looked at. */
export const measuredNothing: StorageAuditor['measure'] = async ({ trees }) => ({
  trees: trees.map(() => ({ allocated: {}, held: { layers: [], rows: [] }, exact: true })),
  free: {},
})

export interface TestApi {
  readonly app: Express
  /** `http://127.0.0.1:<port>`, for other clients than supertest. */
  readonly url: string
  readonly db: Database
  readonly services: Services
  readonly poolId: string
  readonly rung: string[]
  readonly faults: unknown[]
  token(role: Role): string
  caller(role: Role): Caller
  projectId(role: Role): string
  /** supertest with that caller's token; null: without one. */
  as(role: Role | null, headers?: Readonly<Record<string, string>>): ReturnType<typeof supertest.agent>
  /** Forgets faults a test provoked on purpose; returns them. */
  takeFaults(): unknown[]
  close(): Promise<void>
}

export async function openApi(options: { app?: Partial<AppDeps>; services?: Partial<ServiceDeps> } = {}): Promise<TestApi> {
  const database = await freshDatabase('sqlite')
  const home = await mkdtemp(join(tmpdir(), 'strata-api-'))
  const rung: string[] = []
  const faults: unknown[] = []
  const settings = { ...DEFAULT_SETTINGS, hostId: HOST_ID, stagingDir: home, passwordCost: 10, doorbellSecret: 'ding-dong' }
  const doorbell = { ring: (hostId: string) => void rung.push(hostId) }
  const services = createServices({
    db: database.db,
    clock: systemClock,
    doorbell,
    settings,
    imageStore: createImageStore({ stagingDir: home }),
    console: { console: async () => '' },
    auditor: createHostAuditor({ db: database.db, doorbell, clock: systemClock, patienceMs: 2000 }),
    ...options.services,
  } as ServiceDeps)
  const poolId = await prepareHost(database.db, home)
  const members = await prepareTenants(services)
  const observe = { finished: () => {}, mismatched: () => {}, failed: (error: unknown) => void faults.push(error) }
  const app = await createApp({ services, observe, ...options.app })
  const server = await new Promise<Server>((resolve) => {
    const listening = app.listen(0, '127.0.0.1', () => resolve(listening))
  })

  return {
    app,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    db: database.db,
    services,
    poolId,
    rung,
    faults,
    token: (role) => members[role].token,
    caller: (role) => ({ ...members[role].caller, requestId: `req-${randomUUID()}` }),
    projectId: (role) => members[role].caller.projectId,
    as(role, headers = {}) {
      const agent = supertest.agent(server)
      if (role !== null) agent.set('X-Auth-Token', members[role].token)
      return agent.set(headers)
    },
    takeFaults: () => faults.splice(0),
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await database.close()
      await rm(home, { recursive: true, force: true })
      if (faults.length > 0) throw new AggregateError(faults, `${faults.length} requests ended in a 500, the first: ${String(faults[0])}`)
    },
  }
}

async function prepareHost(db: Database, home: string): Promise<string> {
  const poolId = randomUUID()
  const now = systemClock.now()
  await seedDatabase(db, now)
  await db.transaction(async (stores) => {
    await stores.hosts.insert({ id: HOST_ID, state: 'up', address: '', bootId: 'boot', capabilities: {}, heartbeatAt: now, createdAt: now })
    await stores.pools.insert({ id: poolId, hostId: HOST_ID, name: 'default', path: home, isDefault: true, createdAt: now })
  })
  return poolId
}

async function prepareTenants(services: Services): Promise<Record<Role, { token: string; caller: Caller }>> {
  await services.identity.ensureAdmin({ password: 'admin-secret' })
  const admin = await login(services, 'admin', 'admin-secret', 'admin')
  const tenant = async (name: Role, project: string, role: string) => {
    const { caller } = admin
    const found = (await services.identity.listProjects(caller, { name: project }))[0]
    const { id: projectId } = found ?? (await services.identity.createProject(caller, { name: project }, (made) => made))
    const { id: userId } = await services.identity.createUser(caller, { name, password: `${name}-secret` }, (user) => user)
    const roleId = (await services.identity.listRoles(caller, { name: role }))[0]?.id ?? ''
    await services.identity.assignRole(caller, { projectId, userId, roleId })
    return login(services, name, `${name}-secret`, project)
  }
  const member = await tenant('member', 'tenant', 'member')
  const reader = await tenant('reader', 'tenant', 'reader')
  const foreign = await tenant('foreign', 'other', 'member')
  return { admin, member, reader, foreign }
}

async function login(services: Services, name: string, password: string, project: string): Promise<{ token: string; caller: Caller }> {
  const token = await services.identity.issueToken(
    { methods: ['password'], password: { user: { name, password } }, project: { name: project }, unscoped: false, address: 'test' },
    (_view, secret) => secret,
  )
  return { token, caller: await services.identity.authenticate(token, `req-${randomUUID()}`) }
}
