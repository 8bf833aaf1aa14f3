/** Snapshots of a server as a tree: lists by place, the tree itself, and changes that leave what it holds alone. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ANY } from '../../../src/ports/stores.js'
import { covers, openApi, type TestApi } from '../../support/api.js'
import { type Machine, machine, requestSnapshot, takeSnapshot, V1 } from '../../support/server-snapshots.js'

let api: TestApi
let vm: Machine
/** a ── b ── c (current), and d beside c. */
let [a, b, c, d] = ['', '', '', '']
const goBackTo = (id: string) => api.db.transaction((stores) => stores.servers.update(vm.serverId, { currentSnapshotId: id }))

beforeAll(async () => {
  api = await openApi()
  await api.db.transaction((stores) => stores.quotas.setLimits(api.projectId('member'), { snapshots: -1, volumes: -1, gigabytes: -1 }))
})
afterAll(() => api.close())
beforeEach(async () => {
  vm = await machine(api)
  a = await takeSnapshot(api, vm.serverId, { name: 'a' })
  b = await takeSnapshot(api, vm.serverId, { name: 'b' })
  d = await takeSnapshot(api, vm.serverId, { name: 'd', kind: 'internal' })
  await goBackTo(b)
  c = await takeSnapshot(api, vm.serverId, { name: 'c' })
})

const names = async (query: string): Promise<string[]> => {
  const { body } = await api.as('reader').get(`${V1}/servers/${vm.serverId}/snapshots${query}`).expect(200)
  return body.server_snapshots.map(({ name }: { name: string }) => name)
}

describe('lists', () => {
  it('show roots, leaves, descendants, and one by its name', async () => {
    expect(await names('')).toEqual(['a', 'b', 'd', 'c'])
    expect(await names('?view=list')).toEqual(['a', 'b', 'd', 'c'])
    expect(await names('?view=roots')).toEqual(['a'])
    expect(await names('?view=leaves')).toEqual(['d', 'c'])
    expect(await names(`?descendants_of=${b}`)).toEqual(['d', 'c'])
    expect(await names(`?descendants_of=${a}&view=leaves`)).toEqual(['d', 'c'])
    expect(await names(`?descendants_of=${a}&view=roots`)).toEqual(['b'])
    expect(await names(`?descendants_of=${c}`)).toEqual([])
    expect(await names('?name=b')).toEqual(['b'])
    expect(await names('?name=nobody')).toEqual([])
  })

  it('refuse what they do not know', async () => {
    const list = (query: string) => api.as('member').get(`${V1}/servers/${vm.serverId}/snapshots${query}`)
    await list('?view=forest').expect(400)
    await list('?descendants_of=nobody').expect(404)
    const other = await machine(api)
    await list(`?descendants_of=${await takeSnapshot(api, other.serverId)}`).expect(404)
  })
})

describe('the tree', () => {
  it('has every snapshot with its place, and says what the present grew from', async () => {
    covers('showServerSnapshotTree', 'success', 'foreign')
    const { tree } = (await api.as('reader').get(`${V1}/servers/${vm.serverId}/snapshots/tree`).expect(200)).body
    expect(tree).toMatchObject({ server_id: vm.serverId, current: c, roots: [a] })
    expect(tree.nodes).toMatchObject([
      { id: a, name: 'a', kind: 'external', memory: false, parent: null, children: [b], is_current: false },
      { id: b, parent: a, children: [d, c], is_current: false },
      { id: d, kind: 'internal', parent: b, children: [] },
      { id: c, parent: b, children: [], is_current: true },
    ])
    const disk = await api.db.read.disks.find(ANY, vm.rootDiskId)
    expect(tree.present.parent).toBe(c)
    expect(tree.present.disks).toMatchObject([
      { device: 'vda', disk_id: vm.rootDiskId, volume_id: null, layer_id: disk?.topLayerId, format: 'qcow2', depth: 4, grown_from: c },
      { device: 'vdb', volume_id: vm.volumeId, depth: 4, grown_from: c },
    ])
    await api.as('foreign').get(`${V1}/servers/${vm.serverId}/snapshots/tree`).expect(404)
  })

  it('of a server without any is empty', async () => {
    const { serverId } = await machine(api)
    const { tree } = (await api.as('member').get(`${V1}/servers/${serverId}/snapshots/tree`).expect(200)).body
    expect(tree).toMatchObject({ current: null, roots: [], nodes: [], present: { parent: null } })
    expect(tree.present.disks.map((disk: { grown_from: null }) => disk.grown_from)).toEqual([null, null])
  })

  it('knows the tag inside a disk’s top as where the present grew from', async () => {
    const { serverId } = await machine(api)
    await takeSnapshot(api, serverId, { kind: 'internal' })
    const last = await takeSnapshot(api, serverId, { kind: 'internal' })
    const { tree } = (await api.as('member').get(`${V1}/servers/${serverId}/snapshots/tree`).expect(200)).body
    expect(tree.present.disks[0]).toMatchObject({ depth: 1, grown_from: last })
  })
})

describe('a change', () => {
  const patch = (body: object, role: 'member' | 'reader' | 'foreign' = 'member') =>
    api.as(role).patch(`${V1}/server-snapshots/${b}`).send(body)

  it('says only what is different', async () => {
    covers('updateServerSnapshot', 'success', 'foreign')
    const expires = new Date(Date.now() + 60_000).toISOString()
    const changed = (await patch({ name: 'new', protected: true, expires_at: expires }).expect(200)).body.server_snapshot
    expect(changed).toMatchObject({ id: b, name: 'new', protected: true, description: null, parent_id: a, children: [d, c] })
    expect(Date.parse(changed.expires_at)).toBe(Date.parse(expires))
    const again = (await patch({ description: 'why', metadata: { k: 'v' }, expires_at: null }).expect(200)).body.server_snapshot
    expect(again).toMatchObject({ name: 'new', protected: true, description: 'why', metadata: { k: 'v' }, expires_at: null })
    expect((await patch({}).expect(200)).body.server_snapshot).toMatchObject({ name: 'new', description: 'why' })
    await patch({}, 'foreign').expect(404)
    await patch({}, 'reader').expect(403)
  })

  it('is refused where it makes no sense', async () => {
    covers('updateServerSnapshot', 'invalid', 'wrong state')
    await patch({ kind: 'internal' }).expect(400)
    await patch({ name: '' }).expect(400)
    await patch({ expires_at: '2001-01-01T00:00:00Z' }).expect(400)
    expect((await patch({ name: 'a' }).expect(409)).body.error.message).toContain('"a" already')
    await patch({ name: 'b' }).expect(200)
    await api.db.transaction((stores) => stores.serverSnapshots.transition(b, ['available'], { status: 'deleting' }))
    expect((await patch({ protected: true }).expect(409)).body.error.message).toContain('being deleted')
  })

  it('leaves a snapshot that is still being taken to its job', async () => {
    const { server_snapshot } = await requestSnapshot(api, vm.serverId)
    const { body } = await api.as('member').patch(`${V1}/server-snapshots/${server_snapshot.id}`).send({ name: 'soon' }).expect(200)
    expect(body.server_snapshot).toMatchObject({ name: 'soon', status: 'creating' })
  })
})
