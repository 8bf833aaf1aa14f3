/**
 * Every microversion of Block Storage up to the maximum that changes something we serve: below it the old behaviour, at
 * it the new. A row is the version and a probe whose answer must be `before` just below and `from` at the version and at
 * the maximum. What is not served at all is no row here but a line in README.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RANGES } from '../../../api/versions.js'
import { HOST_ID, openApi, type Role, type TestApi } from '../../support/api.js'
import { imageWith, serverWith, snapshotOf, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
let volume = ''
let attached = ''
let snapshot = ''
beforeAll(async () => {
  api = await openApi()
  const image = await imageWith(api, 'member')
  volume = await volumeIn(api, 'available', 'member', { size: 1, name: 'one', metadata: { a: 'b' }, imageRef: image.id })
  attached = await volumeIn(api, 'available', 'member', { size: 1, name: 'two' })
  await serverWith(api, 'member', attached)
  snapshot = await snapshotOf(api, volume, 'member', { name: 'snap', metadata: { a: 'b' } })
})
afterAll(() => api.close())

const MAX = RANGES.volume?.max ?? 0
type Method = 'get' | 'post' | 'put' | 'delete'
interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: bodies are what the probes look into
  readonly body: any
  readonly headers: Record<string, string>
}
type Ask = (method: Method, path: string, body?: object, role?: Role) => Promise<Answer>
const at =
  (minor: number): Ask =>
  async (method, path, body, role = 'member') => {
    const agent = api.as(role, { 'OpenStack-API-Version': `volume 3.${minor}` })
    return body === undefined ? agent[method](`${V3}${path}`) : agent[method](`${V3}${path}`).send(body)
  }

const status = async (answer: Promise<Answer>): Promise<number> => (await answer).status
const has = async (answer: Promise<Answer>, key: string, field: string): Promise<boolean> => {
  const { body } = await answer
  return Object.hasOwn(Array.isArray(body[key]) ? body[key][0] : body[key], field)
}
/** How many are listed; a refusal is its status. */
const listed = async (answer: Promise<Answer>, key = 'volumes'): Promise<number> => {
  const { body, status } = await answer
  return status === 200 ? body[key].length : status
}
const act = (id: string, action: object) => [`/volumes/${id}/action`, action] as const
const upload = (extra: object) => ({ 'os-volume_upload_image': { image_name: 'x', disk_format: 'qcow2', ...extra } })

type Row = readonly [minor: number, what: string, probe: (ask: Ask) => Promise<unknown>, before: unknown, from: unknown]
const TABLE: readonly Row[] = [
  // Refused for being in use either way, but below 3.1 first for the unknown word.
  [
    1,
    'visibility of an upload',
    async (ask) =>
      (await ask('post', ...act(attached, upload({ visibility: 'private' })))).body.badRequest.message.includes('Additional properties'),
    true,
    false,
  ],
  [2, 'a filter bootable=maybe', (ask) => listed(ask('get', '/volumes?bootable=maybe')), 1, 400],
  [3, 'messages', (ask) => status(ask('get', '/messages')), 404, 200],
  [4, 'the filter glance_metadata', (ask) => listed(ask('get', "/volumes?glance_metadata={'os_distro':'no'}")), 2, 0],
  [5, 'paging of messages', (ask) => status(ask('get', '/messages?limit=x')), 200, 400],
  [7, 'the cluster of a service', (ask) => has(ask('get', '/os-services', undefined, 'admin'), 'services', 'cluster'), false, true],
  [10, 'the filter group_id', (ask) => listed(ask('get', '/volumes?group_id=1')), 2, 0],
  [12, 'the summary of volumes', (ask) => status(ask('get', '/volumes/summary')), 404, 200],
  [13, 'the group of a volume', (ask) => has(ask('get', `/volumes/${volume}`), 'volume', 'group_id'), false, true],
  [
    14,
    'the group snapshot of a snapshot',
    (ask) => has(ask('get', `/snapshots/${snapshot}`), 'snapshot', 'group_snapshot_id'),
    false,
    true,
  ],
  [15, 'an ETag of metadata', async (ask) => (await ask('get', `/volumes/${volume}/metadata`)).headers['etag'] !== undefined, false, true],
  [21, 'provider_id, for admins', (ask) => has(ask('get', `/volumes/${volume}`, undefined, 'admin'), 'volume', 'provider_id'), false, true],
  [22, 'snapshots by metadata', (ask) => listed(ask('get', "/snapshots?metadata={'a':'c'}"), 'snapshots'), 1, 0],
  [23, 'a volume deleted by force', (ask) => status(ask('delete', `/volumes/${attached}?force=true`)), 400, 403],
  [28, 'pools by name', (ask) => listed(ask('get', '/scheduler-stats/get_pools?name=x', undefined, 'admin'), 'pools'), 1, 0],
  [30, 'snapshots by name in order', (ask) => status(ask('get', '/snapshots?sort=name:asc')), 400, 200],
  [31, 'unknown filters', (ask) => listed(ask('get', '/volumes?bogus=1')), 2, 400],
  [31, 'the filter size', (ask) => listed(ask('get', '/volumes?size=7')), 2, 0],
  [31, 'unknown filters of pools', (ask) => listed(ask('get', '/scheduler-stats/get_pools?bogus=x', undefined, 'admin'), 'pools'), 0, 400],
  [34, 'parts of a name', (ask) => listed(ask('get', '/volumes?name~=n')), 400, 1],
  [35, 'pools by type', (ask) => status(ask('get', '/scheduler-stats/get_pools?volume_type=x', undefined, 'admin')), 200, 404],
  [36, 'metadata in the summary', (ask) => has(ask('get', '/volumes/summary'), 'volume-summary', 'metadata'), false, true],
  [
    39,
    'limits of another project, for admins',
    async (ask) =>
      (await ask('get', `/limits?project_id=${api.projectId('member')}`, undefined, 'admin')).body.limits.absolute.totalVolumesUsed,
    0,
    2,
  ],
  [
    40,
    'going back to a snapshot',
    async (ask) => (await ask('post', ...act(attached, { revert: { snapshot_id: null } }))).body.badRequest.message.includes('snapshots'),
    false,
    true,
  ],
  [41, 'the user of a snapshot', (ask) => has(ask('get', `/snapshots/${snapshot}`), 'snapshot', 'user_id'), false, true],
  [
    42,
    'a volume that grows in use (to what it is: refused for that, or for being in use)',
    async (ask) => (await ask('post', ...act(attached, { 'os-extend': { new_size: 1 } }))).body.badRequest.message.slice(0, 14),
    'Invalid volume',
    'Invalid input ',
  ],
  [45, 'counts', async (ask) => (await ask('get', '/volumes?with_count=true')).body.count, undefined, 2],
  [45, 'counts that are no flag', (ask) => listed(ask('get', '/volumes?with_count=maybe')), 400, 400],
  [47, 'a backup as source', (ask) => status(ask('post', '/volumes', { volume: { size: 99_999_999, backup_id: volume } })), 413, 404],
  [48, 'shared targets', (ask) => has(ask('get', `/volumes/${volume}`), 'volume', 'shared_targets'), false, true],
  [49, 'the state of a back end', (ask) => has(ask('get', '/os-services', undefined, 'admin'), 'services', 'backend_state'), false, true],
  [52, 'types by extra specs', (ask) => listed(ask('get', "/types?extra_specs={'a':'b'}"), 'volume_types'), 1, 0],
  [52, 'unknown filters of types', (ask) => listed(ask('get', '/types?bogus=1'), 'volume_types'), 1, 400],
  [53, 'unknown words of a new volume', (ask) => status(ask('post', '/volumes', { volume: { size: 99_999_999, bogus: 1 } })), 413, 400],
  [53, 'a change of nothing', (ask) => status(ask('put', `/volumes/${volume}`, { volume: {} })), 200, 400],
  [60, 'volumes by time', (ask) => listed(ask('get', '/volumes?created_at=lt:2000-01-01T00:00:00Z')), 400, 0],
  [
    61,
    'the cluster of a volume, for admins',
    (ask) => has(ask('get', `/volumes/${volume}`, undefined, 'admin'), 'volume', 'cluster_name'),
    false,
    true,
  ],
  [63, 'the id of a volume’s type', (ask) => has(ask('get', `/volumes/${volume}`), 'volume', 'volume_type_id'), false, true],
  [65, 'what counts, of a volume', (ask) => has(ask('get', `/volumes/${volume}`), 'volume', 'consumes_quota'), false, true],
  [65, 'what counts, of a snapshot', (ask) => has(ask('get', `/snapshots/${snapshot}`), 'snapshot', 'consumes_quota'), false, true],
  [65, 'the filter consumes_quota', (ask) => listed(ask('get', '/volumes?consumes_quota=false')), 400, 0],
  [65, 'the same of snapshots', (ask) => listed(ask('get', '/snapshots?consumes_quota=true'), 'snapshots'), 400, 1],
  [
    66,
    'a snapshot asked for without force',
    (ask) => status(ask('post', '/snapshots', { snapshot: { volume_id: 'x', force: false } })),
    400,
    400,
  ],
  [
    66,
    'the flag force=false of a snapshot',
    async (ask) =>
      (await ask('post', '/snapshots', { snapshot: { volume_id: attached, force: false } })).body.badRequest.message.slice(0, 7),
    'Invalid',
    'Since m',
  ],
]

describe('Block Storage', () => {
  it.each(TABLE)('3.%i brings %s', async (minor, _what, probe, before, from) => {
    expect(await probe(at(minor - 1))).toEqual(before)
    expect(await probe(at(minor))).toEqual(from)
    expect(await probe(at(MAX))).toEqual(from)
  })

  it('takes snapshots of what is in use without force from 3.66, and below only with it', async () => {
    const wanted = { snapshot: { volume_id: attached } }
    const refused = await at(65)('post', '/snapshots', wanted)
    expect(refused.body.badRequest.message).toContain('status must be available, but current status is: in-use.')
    expect(await status(at(66)('post', '/snapshots', wanted))).toBe(202)
  })

  it('changes metadata from 3.15 only if they are still what the ETag stands for', async () => {
    const path = `/volumes/${volume}/metadata`
    const put = (minor: number, etag: string, value: string) =>
      api
        .as('member', { 'OpenStack-API-Version': `volume 3.${minor}`, 'If-Match': etag })
        .put(`${V3}${path}`)
        .send({ metadata: { a: value } })
    const { headers, body } = await at(15)('get', path)
    expect(body).toEqual({ metadata: { a: 'b' } })
    const etag = headers['etag'] ?? ''
    const before = (await at(0)('get', `/volumes/${volume}`)).body.volume.updated_at
    expect((await put(15, '"other"', 'x')).status).toBe(412)
    expect((await at(0)('get', `/volumes/${volume}`)).body.volume).toMatchObject({ metadata: { a: 'b' }, updated_at: before })
    expect((await put(15, `"${etag}"`, 'c')).status).toBe(200)
    expect((await put(15, `"${etag}"`, 'd')).status).toBe(412)
    expect((await put(14, `"${etag}"`, 'b')).status).toBe(200)
    const item = await api
      .as('member', { 'OpenStack-API-Version': 'volume 3.15', 'If-Match': 'stale' })
      .put(`${V3}${path}/a`)
      .send({ meta: { a: 'z' } })
    expect(item.status).toBe(412)
    expect((await at(0)('get', path)).body).toEqual({ metadata: { a: 'b' } })
  })

  it('compares moments in all of Cinder’s ways', async () => {
    const count = (filter: string) => listed(at(60)('get', `/volumes?${filter}`))
    expect(await count('created_at=gt:2000-01-01T00:00:00Z,lt:2999-01-01T00:00:00')).toBe(2)
    expect(await count('created_at=gte:2999-01-01T00:00:00%2B02:00')).toBe(0)
    expect(await count('created_at=neq:2000-01-01T00:00:00Z')).toBe(2)
    expect(await count('created_at=eq:2000-01-01T00:00:00Z')).toBe(0)
    for (const bad of ['2000-01-01T00:00:00Z', 'near:2000-01-01T00:00:00Z', 'gt:yesterday', 'gt:', ''])
      expect(await count(`created_at=${bad}`), bad).toBe(400)
  })

  it('refuses multiattach, for a volume here has one server', async () => {
    const { body } = await at(MAX)('post', '/volumes', { volume: { size: 1, multiattach: true } })
    expect(body.badRequest.message).toContain('multiattach is not served')
    expect(
      (await at(MAX)('get', `/scheduler-stats/get_pools?name=${HOST_ID}@strata%23default`, undefined, 'admin')).body.pools,
    ).toHaveLength(1)
  })
})
