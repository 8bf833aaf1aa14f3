/** What a server snapshot costs, as its owner is told: bytes of its own, shared ones, and what deleting it gives back. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { unavailable } from '../../../src/domain/errors.js'
import type { StorageAuditor } from '../../../src/ports/auditor.js'
import { ANY } from '../../../src/ports/stores.js'
import { openApi, type TestApi } from '../../support/api.js'
import { type Machine, machine, takeSnapshot, V1 } from '../../support/server-snapshots.js'

const MIB = 2 ** 20
let api: TestApi
let vm: Machine
let measure: StorageAuditor['measure']
let asked: number
/** What each layer of a chain holds, in megabytes at the same place, top last. */
const everyLayerHolds =
  (bytes: number): StorageAuditor['measure'] =>
  async ({ trees }) => ({
    trees: trees.map((tree) => ({
      allocated: Object.fromEntries(tree.map(({ layerId }) => [layerId, bytes])),
      held: { layers: tree.map(({ layerId }) => layerId), rows: [{ holds: 'd'.repeat(tree.length), bytes }] },
      exact: true,
    })),
    free: {},
  })

beforeAll(async () => {
  api = await openApi({
    services: {
      auditor: {
        observe: () => Promise.reject(new Error('nobody asked')),
        measure: async (_, request) => {
          asked++
          return await measure(request)
        },
      },
    },
  })
  await api.db.transaction((stores) => stores.quotas.setLimits(api.projectId('member'), { snapshots: -1, volumes: -1, gigabytes: -1 }))
})
afterAll(() => api.close())
beforeEach(async () => {
  vm = await machine(api)
  measure = everyLayerHolds(MIB)
  asked = 0
})

const show = async (id: string, query = '') => (await api.as('reader').get(`${V1}/server-snapshots/${id}${query}`).expect(200)).body

describe('the bytes of a server snapshot', () => {
  it('are its own where the present has written over them, disk by disk', async () => {
    const id = await takeSnapshot(api, vm.serverId)
    const { bytes } = await show(id)
    expect(bytes).toMatchObject({ exclusive: 2 * MIB, shared: 0, reason: null })
    expect(bytes.disks).toMatchObject([
      { device: 'vda', exclusive: MIB, shared: 0, reclaimable: MIB },
      { device: 'vdb', exclusive: MIB, shared: 0, reclaimable: MIB },
    ])
    expect(bytes.reclaimable).toBe(2 * MIB)
  })

  it('are shared with a snapshot of the same moment, and deleting one gives nothing back', async () => {
    const id = await takeSnapshot(api, vm.serverId)
    const [part] = await api.db.read.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: id }, diskId: { is: vm.rootDiskId } } })
    const twin = await takeSnapshot(api, vm.serverId, { disks: [{ name: 'vdb', snapshot: 'no' }] })
    await api.db.transaction(async (stores) => {
      const [other] = await stores.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: twin } } })
      await stores.diskSnapshots.update(other?.id ?? '', { layerId: part?.layerId ?? null })
    })
    expect((await show(twin)).bytes).toMatchObject({ exclusive: 0, shared: MIB, reclaimable: 0 })
  })

  it('count the memory that was saved with it', async () => {
    const id = await takeSnapshot(api, vm.serverId, { memory: true })
    const [memory] = await api.db.read.memoryStates.list(ANY, { where: { serverSnapshotId: { is: id } } })
    await api.db.transaction((stores) => stores.memoryStates.update(memory?.id ?? '', { status: 'saved', size: 5 * MIB }))
    expect((await show(id)).bytes).toMatchObject({ exclusive: 7 * MIB, reclaimable: 7 * MIB })
  })

  it('are not told where nobody can say: inside a disk, still being taken, on a host that is silent', async () => {
    const nothing = { exclusive: null, shared: null, reclaimable: null, disks: [] }
    const inner = await takeSnapshot(api, vm.serverId, { kind: 'internal' })
    expect((await show(inner)).bytes).toEqual({ ...nothing, reason: expect.stringContaining('inside') })
    const { body } = await api.as('member').post(`${V1}/servers/${vm.serverId}/snapshots`).send({}).expect(202)
    expect((await show(body.server_snapshot.id)).bytes).toEqual({ ...nothing, reason: 'It is creating.' })
    expect(asked).toBe(0)
    const id = await takeSnapshot(api, (await machine(api)).serverId)
    measure = () => Promise.reject(unavailable('nobody there'))
    expect((await show(id)).bytes).toEqual({ ...nothing, reason: expect.stringContaining('did not tell') })
  })

  it('are measured only where they are wanted, and never for a list', async () => {
    const id = await takeSnapshot(api, vm.serverId)
    expect(await show(id, '?bytes=false')).not.toHaveProperty('bytes')
    await api.as('member').get(`${V1}/servers/${vm.serverId}/snapshots`).expect(200)
    expect(asked).toBe(0)
  })
})
