/** Going back to a snapshot of a server: what is accepted, what is written down for the worker, what is refused. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { CapturedPower } from '../../../src/domain/server-snapshot.js'
import type { RevertServerInput } from '../../../src/domain/server-snapshot-operations.js'
import { ANY } from '../../../src/ports/stores.js'
import { hashOf, readScene } from '../../../src/services/strata/plan-scene.js'
import { covers, HOST_ID, openApi, type Role, type TestApi } from '../../support/api.js'
import { memoryStateRow } from '../../support/rows.js'
import { type Machine, machine, takeSnapshot, V1 } from '../../support/server-snapshots.js'
import { GIB, jobOf } from '../../support/volumes.js'

let api: TestApi
let vm: Machine
let target = ''
beforeAll(async () => {
  api = await openApi()
  const all = { snapshots: -1, volumes: -1, gigabytes: -1 }
  await api.db.transaction((stores) => stores.quotas.setLimits(api.projectId('member'), all))
})
afterAll(() => api.close())
beforeEach(async () => {
  vm = await machine(api)
  target = await takeSnapshot(api, vm.serverId)
})

const post = (body: object, role: Role = 'member', id = target) => api.as(role).post(`${V1}/server-snapshots/${id}/revert`).send(body)
const refusal = async (body: object, status: number): Promise<string> => (await post(body).expect(status)).body.error.message
const setServer = (patch: object) => api.db.transaction((stores) => stores.servers.update(vm.serverId, patch))
const serverNow = () => api.db.read.servers.find(ANY, vm.serverId)
const inputOf = async () => (await jobOf<RevertServerInput>(api, vm.serverId, 'revert-server')).input

describe('a server that runs', () => {
  it('says rebuilding, and the job knows every disk, its part of the snapshot and the layer that becomes its top', async () => {
    covers('revertServerSnapshot', 'success')
    api.rung.length = 0
    const { body } = await post({ power_state: 'running' }).expect(202)
    expect(body).toMatchObject({ power_state: 'running', kept_in: null, server_snapshot: { id: target, status: 'reverting' } })
    expect(await serverNow()).toMatchObject({ vmState: 'active', taskState: 'rebuilding', currentSnapshotId: target })
    const input = await inputOf()
    const parts = await api.db.read.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: target } } })
    expect(input).toMatchObject({ serverSnapshotId: target, powerState: 'running', keptIn: null, withMemory: false })
    expect(input.layerIds.toSorted()).toEqual(parts.map(({ layerId }) => layerId).toSorted())
    expect(input.diskIds).toHaveLength(2)
    for (const { diskSnapshotId, diskId, layerId } of input.disks) {
      expect(parts).toContainEqual(expect.objectContaining({ id: diskSnapshotId, diskId }))
      expect(await api.db.read.layers.find(ANY, layerId)).toMatchObject({ state: 'planned', virtualSize: GIB })
    }
    expect((await api.as('member').get(`${V1}/jobs/${body.job_id}`).expect(200)).body.job.operation).toBe('revert-server')
    expect(await api.db.read.jobs.locks(body.job_id)).toContain(`layer:${input.layerIds[0]}`)
    expect(api.rung).toEqual([HOST_ID])
    const nova = await api.as('member').get(`/compute/v2.1/servers/${vm.serverId}`).expect(200)
    expect(nova.body.server).toMatchObject({ status: 'REBUILD', 'OS-EXT-STS:task_state': 'rebuilding' })
    const actions = await api.as('member').get(`/compute/v2.1/servers/${vm.serverId}/os-instance-actions`).expect(200)
    expect(actions.body.instanceActions[0]).toMatchObject({ action: 'revert' })
  })

  it('is not ended unless the caller says what it is to do then', async () => {
    covers('revertServerSnapshot', 'invalid')
    expect(await refusal({}, 400)).toContain('power_state is required')
    await setServer({ vmState: 'paused' })
    expect(await refusal({ keep_current: true }, 400)).toContain('power_state is required')
    await post({ power_state: 'on' }).expect(400)
    await post({ power_state: 'running', merge: true }).expect(400)
    expect(await serverNow()).toMatchObject({ taskState: null })
    expect(await api.db.read.serverSnapshots.count(ANY, { serverId: { is: vm.serverId } })).toBe(1)
  })

  it('first has its present kept, by a job that is older, of which the revert knows', async () => {
    const { body } = await post({ power_state: 'paused', keep_current: true }).expect(202)
    const kept = await api.db.read.serverSnapshots.find(ANY, body.kept_in.server_snapshot_id)
    expect(kept).toMatchObject({ status: 'creating', kind: 'external', withMemory: false })
    const [first, second] = [body.kept_in.job_id, body.job_id].map((id) => api.db.read.jobs.find(ANY, id))
    expect((await first)?.seq).toBeLessThan((await second)?.seq ?? 0)
    expect(await inputOf()).toMatchObject({ keptIn: kept?.id, powerState: 'paused' })
  })

  it('has its present kept as a tag where it goes back to a tag that is still in its disks', async () => {
    const tagged = await takeSnapshot(api, vm.serverId, { kind: 'internal' })
    const { body } = await post({ power_state: 'stopped', keep_current: true }, 'member', tagged).expect(202)
    expect(await api.db.read.serverSnapshots.find(ANY, body.kept_in.server_snapshot_id)).toMatchObject({ kind: 'internal' })
  })
})

it('a server that is off stays off where nothing else is said, whether the snapshot is protected or not', async () => {
  await setServer({ vmState: 'stopped' })
  await api.db.transaction((stores) => stores.serverSnapshots.update(target, { protected: true }))
  expect((await api.as('member').post(`${V1}/server-snapshots/${target}/revert`).expect(202)).body.power_state).toBe('stopped')
  const nova = await api.as('member').get(`/compute/v2.1/servers/${vm.serverId}`).expect(200)
  expect(nova.body.server.status).toBe('REBUILD')
})

describe('memory', () => {
  /** As the operation leaves it. */
  async function withMemory(kind: 'external' | 'internal' = 'external'): Promise<string> {
    const id = await takeSnapshot(api, vm.serverId, { kind, memory: true })
    await api.db.transaction(async (stores) => {
      for (const { id: stateId } of await stores.memoryStates.list(ANY, { where: { serverSnapshotId: { is: id } } }))
        await stores.memoryStates.update(stateId, { status: 'saved' })
    })
    return id
  }

  it('is gone on from where there is any and nothing else is said, as it was then', async () => {
    const id = await withMemory()
    expect((await post({ keep_current: true }, 'member', id).expect(202)).body).toMatchObject({ memory: true, power_state: 'running' })
    const input = await inputOf()
    expect(input).toMatchObject({ withMemory: true, powerState: 'running' })
    expect(await api.db.read.serverSnapshots.find(ANY, input.keptIn ?? '')).toMatchObject({ kind: 'external', withMemory: true })
  })

  it('may be left aside, and then the server starts anew or stays off', async () => {
    const id = await withMemory()
    await post({ memory: false }, 'member', id).expect(400)
    await post({ power_state: 'stopped' }, 'member', id).expect(400)
    expect((await post({ memory: false, power_state: 'running' }, 'member', id).expect(202)).body).toMatchObject({ memory: false })
  })

  it('is refused where there is none, and where the disks are not those it knows', async () => {
    expect(await refusal({ memory: true }, 409)).toContain('has no memory')
    const id = await withMemory()
    await api.db.transaction((stores) => stores.disks.update(vm.rootDiskId, { virtualSize: 2 * GIB }))
    expect((await post({}, 'member', id).expect(409)).body.error.message).toContain('Resized since the snapshot was taken: vda')
  })

  it('inside layers that were sealed since is out of reach, and the snapshots in the way are named', async () => {
    const id = await withMemory('internal')
    const later = await takeSnapshot(api, vm.serverId, { name: 'later' })
    const { error } = (await post({}, 'member', id).expect(409)).body
    expect(error).toMatchObject({ message: expect.stringContaining('"later"'), snapshots: [later] })
    await post({ memory: false, power_state: 'running' }, 'member', id).expect(202)
  })
})

describe('it is refused', () => {
  it('for strangers, readers, and snapshots that are not there', async () => {
    covers('revertServerSnapshot', 'foreign')
    await post({ power_state: 'running' }, 'foreign').expect(404)
    await post({ power_state: 'running' }, 'reader').expect(403)
    await post({ power_state: 'running' }, 'member', 'nope').expect(404)
    await setServer({ locked: true })
    expect(await refusal({ power_state: 'running' }, 409)).toContain('is locked')
  })

  it('in another state, and while something else is done with the server or the snapshot', async () => {
    covers('revertServerSnapshot', 'wrong state')
    const body = { power_state: 'running' }
    await setServer({ vmState: 'error' })
    expect(await refusal(body, 409)).toContain('vm_state error')
    await setServer({ vmState: 'active', taskState: 'rebooting' })
    expect(await refusal(body, 409)).toContain('task_state rebooting')
    await setServer({ taskState: null })
    await api.db.transaction((stores) => stores.serverSnapshots.update(target, { status: 'deleting' }))
    expect(await refusal(body, 409)).toContain('is deleting')
    await api.db.transaction((stores) => stores.serverSnapshots.update(target, { status: 'available' }))
    await post(body).expect(202)
    const again = await post(body).expect(409)
    expect(again.body.error).toMatchObject({ message: expect.stringContaining('is reverting'), holder: { operation: 'revert-server' } })
    await api.as('member').post(`/compute/v2.1/servers/${vm.serverId}/action`).send({ 'os-stop': null }).expect(409)
  })

  it('of a server with a saved state, which fits the disks as they are', async () => {
    await setServer({ vmState: 'suspended' })
    expect(await refusal({ power_state: 'running' }, 409)).toContain('has a saved state')
    await setServer({ vmState: 'stopped' })
    const saved = memoryStateRow({ projectId: api.projectId('member'), serverId: vm.serverId, poolId: api.poolId })
    await api.db.transaction((stores) => stores.memoryStates.insert(saved))
    expect(await refusal({}, 409)).toContain('has a saved state')
  })

  it('with a plan that is not of this, or of a world that is no more', async () => {
    const body = { power_state: 'running', keep_current: true }
    const plan = async (powerState: CapturedPower): Promise<string> =>
      await api.db.transaction(async (stores) => {
        const server = await stores.servers.find(ANY, vm.serverId)
        if (server === undefined) throw new Error('no server')
        return hashOf(await readScene(stores, server), { kind: 'revert', id: target, powerState, memory: null, keepCurrent: true })
      })
    expect(await refusal({ ...body, plan: await plan('stopped') }, 412)).toContain('plan it again')
    const hash = await plan('running')
    await takeSnapshot(api, vm.serverId)
    expect(await refusal({ ...body, plan: hash }, 412)).toContain('plan it again')
    await post({ ...body, plan: await plan('running') }).expect(202)
  })

  it('naming the disks of the snapshot that are with the server no more', async () => {
    const { diskId = '' } = (await api.db.read.volumes.find(ANY, vm.volumeId)) ?? {}
    await api.db.transaction((stores) => stores.disks.update(diskId, { serverId: null }))
    const { error } = (await post({ power_state: 'running' }).expect(409)).body
    expect(error.message).toContain(`vdb (volume ${vm.volumeId})`)
    expect(error.disks).toEqual([{ device: 'vdb', disk_id: diskId, volume_id: vm.volumeId }])
  })
})
