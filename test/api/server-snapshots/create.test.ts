/** Taking snapshots of servers: what is accepted, what is written down for the worker, what is refused. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { CreateServerSnapshotInput } from '../../../src/domain/server-snapshot-operations.js'
import { ANY } from '../../../src/ports/stores.js'
import { covers, HOST_ID, openApi, type TestApi } from '../../support/api.js'
import { bareServer, type Machine, machine, requestSnapshot, takeSnapshot, V1 } from '../../support/server-snapshots.js'
import { jobOf } from '../../support/volumes.js'

let api: TestApi
let vm: Machine
beforeAll(async () => {
  api = await openApi()
  const all = { snapshots: -1, volumes: -1, gigabytes: -1 }
  await api.db.transaction((stores) => stores.quotas.setLimits(api.projectId('member'), all))
})
afterAll(() => api.close())
beforeEach(async () => {
  vm = await machine(api)
})

const post = (body: object, role: 'member' | 'reader' | 'foreign' | 'admin' = 'member') =>
  api.as(role).post(`${V1}/servers/${vm.serverId}/snapshots`).send(body)
const refusal = async (body: object, status: number): Promise<string> => (await post(body).expect(status)).body.error.message
const setServer = (patch: object) => api.db.transaction((stores) => stores.servers.update(vm.serverId, patch))
const inputOf = async (id: string) => (await jobOf<CreateServerSnapshotInput>(api, id)).input

describe('an empty request', () => {
  it('takes all disks from outside, without memory, under a name that is made up', async () => {
    covers('createServerSnapshot', 'success')
    const { body } = await api.as('member').post(`${V1}/servers/${vm.serverId}/snapshots`).expect(202)
    const snapshot = body.server_snapshot
    expect(snapshot).toMatchObject({
      name: expect.stringMatching(/^external-\d{10}$/),
      status: 'creating',
      kind: 'external',
      memory: false,
      server_id: vm.serverId,
      parent_id: null,
      children: [],
      is_current: false,
      power_state: null,
      protected: false,
      expires_at: null,
      consistency: null,
      memory_state: null,
      disks: [
        { device: 'vda', disk_id: vm.rootDiskId, volume_id: null, snapshot: 'external', layer_id: null },
        { device: 'vdb', volume_id: vm.volumeId, snapshot: 'external', layer_id: null },
      ],
    })
    const input = await inputOf(snapshot.id)
    expect(input).toMatchObject({ serverId: vm.serverId, kind: 'external', quiesce: 'none', memoryStateId: null })
    for (const [at, { diskSnapshotId, diskId, layerId }] of input.disks.entries()) {
      expect(snapshot.disks[at]).toMatchObject({ id: diskSnapshotId, disk_id: diskId })
      expect(await api.db.read.layers.find(ANY, layerId ?? '')).toMatchObject({ state: 'planned', parentId: null, poolId: api.poolId })
      expect(await api.db.read.artefacts.find(ANY, `layer:${layerId}`)).toBeDefined()
    }
    const job = (await api.as('member').get(`${V1}/jobs/${body.job_id}`).expect(200)).body.job
    expect(job).toMatchObject({ operation: 'create-server-snapshot', resource_type: 'server_snapshot', resource_id: snapshot.id })
    expect(api.rung.at(-1)).toBe(HOST_ID)
  })

  it('gets another name when the second is not over yet, even from requests at the same time', async () => {
    const asked = await Promise.all(Array.from({ length: 4 }, async () => await requestSnapshot(api, vm.serverId)))
    const names = asked.map(({ server_snapshot }) => server_snapshot.name)
    expect(new Set(names).size).toBe(4)
    for (const name of names) expect(name).toMatch(/^external-\d{10}(-[2-4])?$/)
  })
})

describe('a request', () => {
  it('says what is kept with the snapshot', async () => {
    const expires = new Date(Date.now() + 3_600_000).toISOString()
    const body = { name: 'before', description: 'x', metadata: { a: 'b' }, protected: true, expires_at: expires, quiesce: 'required' }
    const { server_snapshot } = (await post(body).expect(202)).body
    expect(server_snapshot).toMatchObject({ name: 'before', description: 'x', metadata: { a: 'b' }, protected: true })
    expect(Date.parse(server_snapshot.expires_at)).toBe(Date.parse(expires))
    expect(await inputOf(server_snapshot.id)).toMatchObject({ quiesce: 'required' })
  })

  it('writes down where the memory will be, before there is any', async () => {
    const { server_snapshot } = (await post({ memory: true }).expect(202)).body
    const { memoryStateId } = await inputOf(server_snapshot.id)
    expect(server_snapshot.memory_state).toEqual({ id: memoryStateId, status: 'planned', format: 'stream', size: null })
    const artefact = await api.db.read.artefacts.find(ANY, `memory:${memoryStateId}`)
    expect(artefact).toMatchObject({ kind: 'memory-file', location: expect.stringMatching(`/${memoryStateId}\\.mem$`) })
    expect(await api.db.read.memoryStates.find(ANY, memoryStateId ?? '')).toMatchObject({
      serverSnapshotId: server_snapshot.id,
      serverId: vm.serverId,
      wasRunning: true,
    })
  })

  it('for an internal one plans no overlays, and no file for its memory', async () => {
    const { server_snapshot } = (await post({ kind: 'internal', memory: true }).expect(202)).body
    expect(server_snapshot).toMatchObject({ name: expect.stringMatching(/^internal-/), disks: [{ snapshot: 'internal' }, {}] })
    const input = await inputOf(server_snapshot.id)
    expect(input.disks.map((disk) => disk.layerId)).toEqual([null, null])
    expect(server_snapshot.memory_state.format).toBe('tag')
    expect(await api.db.read.artefacts.find(ANY, `memory:${input.memoryStateId}`)).toBeUndefined()
  })

  it('leaves disks out and puts overlays elsewhere, by device, by volume and by name', async () => {
    const pool = { id: randomUUID(), hostId: HOST_ID, name: `fast-${randomUUID()}`, path: '/fast', isDefault: false, createdAt: 1 }
    await api.db.transaction((stores) => stores.pools.insert(pool))
    for (const name of ['vdb', '/dev/vdb', vm.volumeId, 'data']) {
      const { server_snapshot } = (await post({ disks: [{ name, snapshot: 'no' }] }).expect(202)).body
      expect(server_snapshot.disks.map((disk: { device: string }) => disk.device)).toEqual(['vda'])
    }
    const { server_snapshot } = (await post({ disks: [{ name: 'data', pool: pool.name }] }).expect(202)).body
    const [root, data] = (await inputOf(server_snapshot.id)).disks
    expect((await api.db.read.layers.find(ANY, root?.layerId ?? ''))?.poolId).toBe(api.poolId)
    expect((await api.db.read.layers.find(ANY, data?.layerId ?? ''))?.poolId).toBe(pool.id)
    const artefact = await api.db.read.artefacts.find(ANY, `layer:${data?.layerId}`)
    expect(artefact?.location).toBe(`/fast/${data?.layerId}.qcow2`)
  })

  it('that names its kind by disk is of that kind', async () => {
    const { server_snapshot } = (await post({ disks: [{ name: 'vda', snapshot: 'internal' }] }).expect(202)).body
    expect(server_snapshot.kind).toBe('internal')
  })

  it('with an Idempotency-Key is done once', async () => {
    const again = () =>
      api.as('member', { 'Idempotency-Key': vm.serverId }).post(`${V1}/servers/${vm.serverId}/snapshots`).send({}).expect(202)
    expect((await again()).body).toEqual((await again()).body)
    expect(await api.db.read.serverSnapshots.count(ANY, { serverId: { is: vm.serverId } })).toBe(1)
  })
})

describe('a request is refused', () => {
  it('when it makes no sense', async () => {
    covers('createServerSnapshot', 'invalid')
    await post({ kind: 'sideways' }).expect(400)
    await post({ unheard: 'of' }).expect(400)
    expect(await refusal({ kind: 'external', disks: [{ name: 'vda', snapshot: 'internal' }] }, 400)).toContain('of one kind')
    expect(await refusal({ disks: [{ name: 'vdz' }] }, 400)).toContain('no disk "vdz"')
    expect(await refusal({ disks: [{ name: 'vdb' }, { name: 'data' }] }, 400)).toContain('named twice')
    expect(await refusal({ disks: [{ name: 'vda', pool: 'nowhere' }] }, 400)).toContain('no pool "nowhere"')
    expect(await refusal({ kind: 'internal', disks: [{ name: 'vda', pool: 'default' }] }, 400)).toContain('cannot go to another pool')
    const none = ['vda', 'vdb'].map((name) => ({ name, snapshot: 'no' }))
    expect(await refusal({ disks: none }, 400)).toContain('at least one disk')
    for (const kind of ['external', 'internal'])
      expect(await refusal({ kind, memory: true, disks: none.slice(1) }, 400)).toContain('with all disks')
    expect(await refusal({ expires_at: '2020-01-01T00:00:00Z' }, 400)).toContain('past')
    expect(await refusal({ expires_at: '2099-13-41T00:00:00Z' }, 400)).toContain('no such time')
    expect(await refusal({ expires_at: '9999-12-31T23:59:59Z' }, 400)).toContain('further away')
    expect(await refusal({ expires_at: '2099-02-31T00:00:00Z' }, 400)).toContain('no such time')
    await post({ expires_at: 'tomorrow' }).expect(400)
    expect(await api.db.read.serverSnapshots.count(ANY, { serverId: { is: vm.serverId } })).toBe(0)
  })

  it('when the name is taken, and never overwrites', async () => {
    await requestSnapshot(api, vm.serverId, { name: 'one' })
    expect(await refusal({ name: 'one' }, 409)).toContain('"one" already')
    const race = await Promise.all(Array.from({ length: 4 }, () => post({ name: 'two' })))
    expect(race.map(({ status }) => status).toSorted()).toEqual([202, 409, 409, 409])
  })

  it('from whoever may not', async () => {
    covers('createServerSnapshot', 'foreign')
    await post({}, 'foreign').expect(404)
    await post({}, 'reader').expect(403)
    await post({}, 'admin').expect(202)
  })

  it('in a state it cannot be taken in', async () => {
    covers('createServerSnapshot', 'wrong state')
    await setServer({ vmState: 'stopped' })
    expect(await refusal({ memory: true }, 409)).toContain('has no memory')
    await post({}).expect(202)
    await setServer({ vmState: 'active', taskState: 'powering-off' })
    expect(await refusal({ memory: true }, 409)).toContain('powering-off')
    await setServer({ vmState: 'error', taskState: null })
    expect(await refusal({}, 409)).toContain('error')
    await setServer({ vmState: 'active', taskState: 'deleting' })
    expect(await refusal({}, 409)).toContain('being deleted')
    await setServer({ vmState: 'deleted' })
    await post({}).expect(404)
    const bare = await bareServer(api)
    await api.as('member').post(`${V1}/servers/${bare}/snapshots`).send({}).expect(409)
  })

  it('as an internal one, of raw disks, which it names', async () => {
    const disk = await api.db.read.disks.find(ANY, vm.rootDiskId)
    await api.db.transaction((stores) => stores.layers.update(disk?.topLayerId ?? '', { format: 'raw' }))
    const { error } = (await post({ kind: 'internal' }).expect(409)).body
    expect(error).toMatchObject({ message: expect.stringContaining('vda'), disks: ['vda'] })
    await post({ kind: 'internal', disks: [{ name: 'vda', snapshot: 'no' }] }).expect(202)
  })

  it('beyond the quota, which it gives back when it fails', async () => {
    await api.db.transaction((stores) => stores.quotas.setLimits(api.projectId('foreign'), { snapshots: 1, volumes: -1, gigabytes: -1 }))
    const other = await machine(api, 'foreign')
    const take = () => api.as('foreign').post(`${V1}/servers/${other.serverId}/snapshots`).send({})
    await take().expect(202)
    expect((await take().expect(403)).body.error.kind).toBe('overQuota')
    expect((await api.db.read.quotas.usage(api.projectId('foreign')))['snapshots']).toBe(1)
  })
})

describe('snapshots of a server', () => {
  it('are listed and shown to their project alone', async () => {
    covers('listServerSnapshots', 'success', 'foreign')
    covers('showServerSnapshot', 'success', 'foreign')
    const [first, second] = [
      await takeSnapshot(api, vm.serverId, { name: 'first' }),
      await takeSnapshot(api, vm.serverId, { memory: true }),
    ]
    const { server_snapshots } = (await api.as('reader').get(`${V1}/servers/${vm.serverId}/snapshots`).expect(200)).body
    expect(server_snapshots).toMatchObject([
      { id: first, name: 'first', parent_id: null, children: [second], is_current: false, status: 'available', power_state: 'running' },
      { id: second, parent_id: first, children: [], is_current: true, memory: true },
    ])
    const { body } = await api.as('reader').get(`${V1}/server-snapshots/${first}?bytes=false`).expect(200)
    expect(body).toEqual({ server_snapshot: server_snapshots[0], jobs: [] })
    await api.as('foreign').get(`${V1}/servers/${vm.serverId}/snapshots`).expect(404)
    await api.as('foreign').get(`${V1}/server-snapshots/${first}`).expect(404)
  })

  it('tell the consistency they got', async () => {
    const id = await takeSnapshot(api, vm.serverId)
    const report = {
      requested: 'best_effort',
      reached: 'crash_group',
      degradedReason: 'the guest was not frozen',
      frozenFilesystems: 2,
      thawedFilesystems: 2,
      frozenFor: 40_000,
      switchedIn: 900,
      pausedFor: 1_500_000,
      skew: 0,
      live: true,
      takenAt: 1_700_000_000_000_000,
    } as const
    await api.db.transaction((stores) => stores.serverSnapshots.update(id, { report }))
    expect((await api.as('member').get(`${V1}/server-snapshots/${id}?bytes=false`).expect(200)).body.server_snapshot.consistency).toEqual({
      requested: 'best_effort',
      reached: 'crash_group',
      degraded_reason: 'the guest was not frozen',
      frozen_filesystems: 2,
      thawed_filesystems: 2,
      frozen_seconds: 0.04,
      switched_seconds: 0.0009,
      paused_seconds: 1.5,
      skew_seconds: 0,
      live: true,
      taken_at: '2023-11-14T22:13:20.000000Z',
    })
  })
})
