/** Lists of volumes and snapshots: paging, order, filters by role and version, counts, sums. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { covers, openApi, type Role, type TestApi } from '../../support/api.js'
import { snapshotOf, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
const volumes: string[] = []
const snapshots: string[] = []
beforeAll(async () => {
  api = await openApi()
  for (const name of ['a', 'b', 'c']) {
    const metadata = { letter: name, all: "it's" }
    const id = await volumeIn(api, 'available', 'member', { size: name === 'b' ? 2 : 1, name, metadata })
    volumes.push(id)
    snapshots.push(await snapshotOf(api, id, 'member', { name, metadata }))
  }
  await snapshotOf(api, await volumeIn(api, 'available', 'foreign', { size: 1, name: 'theirs' }), 'foreign', { name: 'theirs' })
})
afterAll(() => api.close())

interface Listed {
  names: string[]
  links: { href: string; rel: string }[] | undefined
  count: number | undefined
}
const list = async (
  what: string,
  query = '',
  { role = 'member', version = '3.0' }: { role?: Role; version?: string } = {},
): Promise<Listed> => {
  const { body } = await api
    .as(role, { 'OpenStack-API-Version': `volume ${version}` })
    .get(`${V3}/${what}${query}`)
    .expect(200)
  const key = what.split('/')[0] ?? ''
  return { names: body[key].map(({ name }: { name: string }) => name), links: body[`${key}_links`], count: body.count }
}
const refusal = async (what: string, query: string, version = '3.0', status = 400): Promise<string> => {
  const { body } = await api
    .as('member', { 'OpenStack-API-Version': `volume ${version}` })
    .get(`${V3}/${what}${query}`)
    .expect(status)
  return (Object.values(body)[0] as { message: string }).message
}

describe.each(['volumes', 'volumes/detail', 'snapshots', 'snapshots/detail'])('GET /%s', (what) => {
  covers('listVolumes', 'success', 'foreign', 'invalid')
  covers('listVolumesDetail', 'success', 'foreign', 'invalid')
  covers('listSnapshots', 'success', 'foreign', 'invalid')
  covers('listSnapshotsDetail', 'success', 'foreign', 'invalid')

  it('shows one’s own, newest first', async () => {
    expect((await list(what)).names).toEqual(['c', 'b', 'a'])
    expect((await list(what, '', { role: 'reader' })).names).toEqual(['c', 'b', 'a'])
    expect((await list(what, '', { role: 'foreign' })).names).toEqual(['theirs'])
    expect((await list(what, '', { role: 'admin' })).names).toEqual([])
  })

  it('shows all projects to admins who ask, and to nobody else', async () => {
    expect((await list(what, '?all_tenants=1', { role: 'admin' })).names).toEqual(['theirs', 'c', 'b', 'a'])
    expect((await list(what, `?all_tenants=1&project_id=${api.projectId('foreign')}`, { role: 'admin' })).names).toEqual(['theirs'])
    expect((await list(what, '?all_tenants=1&name=a')).names).toEqual(['a'])
  })

  it('has pages that follow each other by link or by offset', async () => {
    const first = await list(what, '?limit=2&sort=display_name:asc')
    expect(first.names).toEqual(['a', 'b'])
    const href = new URL(first.links?.[0]?.href ?? '')
    expect(first.links?.[0]?.rel).toBe('next')
    expect(href.pathname).toBe(`${V3}/${what}`)
    expect(href.search).toMatch(/^\?limit=2&sort=display_name%3Aasc&marker=[0-9a-f-]{36}$/)
    const second = await list(what, href.search)
    expect(second).toEqual({ names: ['c'], links: undefined, count: undefined })
    expect((await list(what, '?limit=1&offset=1')).names).toEqual(['b'])
    expect((await list(what, '?offset=99')).names).toEqual([])
    expect((await list(what, '?limit=0')).names).toEqual([])
    expect((await list(what, '?limit=3')).links).toHaveLength(1)
    expect((await list(what, '?limit=100000')).names).toHaveLength(3)
  })

  it('refuses limits, offsets, markers and orders that make no sense', async () => {
    expect(await refusal(what, '?limit=-1')).toBe('limit param must be positive')
    expect(await refusal(what, '?limit=x')).toBe('limit param must be an integer')
    expect(await refusal(what, '?offset=-1')).toBe('offset must be >= 0')
    const marker = randomUUID()
    expect(await refusal(what, `?marker=${marker}`, '3.0', 404)).toBe(
      `${what.startsWith('v') ? 'Volume' : 'Snapshot'} ${marker} could not be found.`,
    )
    expect(await refusal(what, '?sort=nonsense')).toBe('Invalid input received: Invalid sort key')
    expect(await refusal(what, '?sort_key=constructor')).toBe('Invalid input received: Invalid sort key')
    expect(await refusal(what, '?sort=id:up')).toBe("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")
    expect(await refusal(what, '?sort=id&sort_key=id')).toContain('are deprecated and cannot be used')
  })

  it('sorts by several keys and by the old parameters', async () => {
    expect((await list(what, '?sort_key=display_name&sort_dir=asc')).names).toEqual(['a', 'b', 'c'])
    const size = what.startsWith('v') ? 'size' : 'volume_size'
    expect((await list(what, `?sort=${size}:desc,display_name:asc`)).names).toEqual(['b', 'a', 'c'])
  })

  it('filters by name and status', async () => {
    expect((await list(what, '?name=b')).names).toEqual(['b'])
    expect((await list(what, '?status=available')).names).toHaveLength(3)
    expect((await list(what, '?status=error&name=b')).names).toEqual([])
    expect((await list(what, "?name=b'%20OR%201=1")).names).toEqual([])
  })

  it('filters by metadata as Python writes it', async () => {
    const metadata = (text: string) => list(what, `?metadata=${encodeURIComponent(text)}`, { version: '3.22' })
    expect((await metadata(`{'letter': 'b'}`)).names).toEqual(['b'])
    expect((await metadata(`{'all': "it's", u'letter': 'a'}`)).names).toEqual(['a'])
    expect((await metadata(`{"letter": "c"}`)).names).toEqual(['c'])
    for (const text of ['{', 'x', `{'a'}`, `{'a': 1}`, `__import__('os')`]) expect((await metadata(text)).names).toEqual([])
  })

  it('drops a member’s unknown filters below 3.31 and refuses them from there on', async () => {
    expect((await list(what, '?bogus=1')).names).toHaveLength(3)
    expect(await refusal(what, '?bogus=1&other=2', '3.31')).toBe('Invalid filters bogus,other are found in query options.')
    expect((await list(what, '?all_tenants=1&bogus=1', { role: 'admin', version: '3.31' })).names).toEqual([])
  })

  it('counts from 3.45 and searches parts of names from 3.34', async () => {
    expect((await list(what, '?with_count=true&limit=1', { version: '3.45' })).count).toBe(3)
    expect((await list(what, '?with_count=true')).count).toBeUndefined()
    expect((await list(what, '?name~=b', { version: '3.34' })).names).toEqual(['b'])
  })
})

describe('lists', () => {
  it('of snapshots sort by name from 3.30 and filter by volume', async () => {
    expect(await refusal('snapshots', '?sort=name:asc')).toBe('Invalid input received: Invalid sort key')
    expect((await list('snapshots', '?sort=name:asc', { version: '3.30' })).names).toEqual(['a', 'b', 'c'])
    expect((await list('snapshots', `?volume_id=${volumes[1]}`)).names).toEqual(['b'])
  })

  it('of volumes filter by what only volumes have', async () => {
    expect((await list('volumes/detail', '?bootable=True')).names).toEqual([])
    expect((await list('volumes/detail', '?bootable=false')).names).toHaveLength(3)
    expect((await list('volumes', '?availability_zone=nova')).names).toHaveLength(3)
    expect((await list('volumes', '?availability_zone=mars')).names).toEqual([])
    expect((await list('volumes', '?size=2', { version: '3.31' })).names).toEqual(['b'])
  })

  it('in detail tell all, and plainly little', async () => {
    const brief = (await api.as('member').get(`${V3}/volumes`)).body.volumes[0]
    expect(Object.keys(brief)).toEqual(['id', 'name', 'links'])
    const detailed = (await api.as('member').get(`${V3}/volumes/detail`)).body.volumes[0]
    expect(detailed).toMatchObject({ name: 'c', volume_type: '__DEFAULT__', 'os-vol-tenant-attr:tenant_id': api.projectId('member') })
    const plain = (await api.as('member').get(`${V3}/snapshots`)).body.snapshots[0]
    expect(plain).not.toHaveProperty('os-extended-snapshot-attributes:progress')
    expect((await api.as('member').get(`${V3}/snapshots/detail`)).body.snapshots[0]).toHaveProperty(
      'os-extended-snapshot-attributes:progress',
      '100%',
    )
  })
})

describe('the summary', () => {
  it('sums one’s volumes from 3.12, their metadata from 3.36', async () => {
    covers('summarizeVolumes', 'success', 'foreign', 'invalid')
    const summary = async (version: string, role: Role = 'member', query = '') =>
      (
        await api
          .as(role, { 'OpenStack-API-Version': `volume ${version}` })
          .get(`${V3}/volumes/summary${query}`)
          .expect(200)
      ).body['volume-summary']
    expect(await summary('3.12')).toEqual({ total_count: 3, total_size: 4 })
    expect(await summary('3.36')).toEqual({ total_count: 3, total_size: 4, metadata: { letter: ['c', 'b', 'a'], all: ["it's"] } })
    expect(await summary('3.12', 'foreign')).toEqual({ total_count: 1, total_size: 1 })
    expect(await summary('3.12', 'admin', '?all_tenants=1')).toEqual({ total_count: 4, total_size: 5 })
    await api.as('member').get(`${V3}/volumes/summary`).expect(404)
    expect(await summary('3.31', 'member', '?bogus=1')).toEqual({ total_count: 3, total_size: 4 })
    expect(await refusal('volumes/summary', '?sort=nonsense', '3.12')).toContain('Invalid sort key')
  })
})
