/**
 * Every route of our own API, asked by those who may do little: a reader of the project, a member of another one, and the
 * holder of a token that is scoped to nothing. Nobody gets a 5xx, changes what is not theirs to change, or learns of others.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endpointsOf, loadDocument } from '../../api/document.js'
import { ANY } from '../../src/ports/stores.js'
import { HOST_ID, measuredNothing, openApi, type TestApi } from '../support/api.js'
import { memoryStateRow } from '../support/rows.js'
import { machine, takeSnapshot } from '../support/server-snapshots.js'
import { requestVolume, snapshotOf, volumeIn } from '../support/volumes.js'

let api: TestApi
let known: Record<string, string>
let unscoped: string
const routes = endpointsOf(loadDocument())
  .filter(({ service, isPublic, path }) => service === 'strata' && !isPublic && path !== '/strata/v1/doorbell')
  .map((endpoint) => [`${endpoint.method.toUpperCase()} ${endpoint.path}`, endpoint] as const)

beforeAll(async () => {
  const observe = async () => ({ live: false, disks: [], nodes: [], files: ['/secret/stray'] })
  api = await openApi({ services: { auditor: { observe, measure: async (_, request) => await measuredNothing(request) } } })
  const volumeId = await volumeIn(api)
  const snapshotId = await snapshotOf(api, volumeId)
  const { serverId } = await machine(api)
  const serverSnapshotId = await takeSnapshot(api, serverId)
  const saved = memoryStateRow({ projectId: api.projectId('member'), serverId, poolId: api.poolId, hostId: HOST_ID })
  await api.db.transaction((stores) => stores.memoryStates.insert(saved))
  const { id } = await requestVolume(api)
  const [job] = await api.db.read.jobs.list(ANY, { where: { resourceId: { is: id } } })
  const ofMember = { volume_id: volumeId, project_id: api.projectId('member') }
  known = {
    ...ofMember,
    snapshot_id: snapshotId,
    server_id: serverId,
    server_snapshot_id: serverSnapshotId,
    job_id: job?.id ?? '',
    host_id: HOST_ID,
  }
  const login = { methods: ['password'] as const, password: { user: { name: 'member', password: 'member-secret' } } }
  unscoped = await api.services.identity.issueToken(
    { ...login, methods: ['password'], unscoped: true, address: 'test' },
    (_, secret) => secret,
  )
})
afterAll(() => api.close())

/** Of those that cannot do with an empty one. */
const BODIES: Readonly<Record<string, object>> = { setAutostart: { autostart: true } }

const fill = (path: string): string => path.replaceAll(/\{([^}]+)\}/g, (_, name: string) => known[name] ?? 'unknown')
const state = async (): Promise<string> => {
  const { read } = api.db
  const all = [read.jobs, read.snapshots, read.serverSnapshots, read.servers, read.hosts].map(async (store) => await store.list(ANY))
  return JSON.stringify(await Promise.all(all))
}

describe.each(routes)('%s', (_title, endpoint) => {
  /** With a body where one is taken: what is refused is the caller, not that it is missing. */
  const send = (role: 'reader' | 'foreign', path: string) => {
    const request = api.as(role)[endpoint.method](path)
    return endpoint.operation.requestBody === undefined ? request : request.send(BODIES[endpoint.operationId] ?? {})
  }
  const ask = (role: 'reader' | 'foreign') => send(role, fill(endpoint.path))
  const isOperators = endpoint.path.startsWith('/strata/v1/hosts')
  const isList = !endpoint.path.includes('{')

  it('lets a reader look and change nothing', async () => {
    const before = await state()
    const answer = await ask('reader')
    // A picture is not taken for text.
    const { status, text = String(answer.body) } = answer
    expect(status, text).toBe(isOperators || endpoint.method !== 'get' ? 403 : 200)
    for (const secret of ['/secret', '/tmp/', 'lease', '"input"']) expect(text).not.toContain(secret)
    expect(await state()).toBe(before)
  })

  it('tells another project nothing, not even that there is something', async () => {
    const before = await state()
    const { status, text } = await ask('foreign')
    expect(status, text).toBe(isOperators ? 403 : isList ? 200 : 404)
    // Their own question may come back at them; nothing else.
    const own = decodeURIComponent(fill(endpoint.path))
    for (const id of [api.projectId('member'), api.caller('member').userId, ...Object.values(known)])
      if (!own.includes(id)) expect(text).not.toContain(id)
    const missing = await send('foreign', endpoint.path.replaceAll(/\{[^}]+\}/g, 'no-such'))
    expect(missing.status).toBe(status)
    expect(await state()).toBe(before)
  })

  it('wants a token that is scoped to a project', async () => {
    const before = await state()
    const { status, text } = await api.as(null, { 'X-Auth-Token': unscoped })[endpoint.method](fill(endpoint.path))
    expect([401, 403], text).toContain(status)
    expect(await state()).toBe(before)
  })
})

it('asks no more of the bell than its secret, and rings for nobody else', async () => {
  const ring = (headers: Record<string, string>) => api.as(null, headers).post('/strata/v1/doorbell').send({ host_id: HOST_ID })
  const before = api.rung.length
  for (const role of ['reader', 'foreign'] as const) {
    const { status } = await ring({ 'X-Auth-Token': api.token(role) })
    expect([401, 403]).toContain(status)
  }
  expect([401, 403]).toContain((await ring({ 'X-Auth-Token': unscoped })).status)
  expect([401, 403]).toContain((await ring({ 'X-Strata-Doorbell': 'wrong' })).status)
  expect(api.rung).toHaveLength(before)
})
