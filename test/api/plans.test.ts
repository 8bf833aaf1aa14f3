/** Plans over HTTP: what they say, that nothing is changed by asking, and that an old one is told from a good one. */
import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { unavailable } from '../../src/domain/errors.js'
import type { Holdings } from '../../src/domain/holdings.js'
import type { PlanRequest } from '../../src/domain/snapshot-plan.js'
import type { StorageAuditor } from '../../src/ports/auditor.js'
import { ANY } from '../../src/ports/stores.js'
import { requirePlan } from '../../src/services/strata/plan-scene.js'
import { covers, openApi, type TestApi } from '../support/api.js'
import { type Machine, machine, requestSnapshot, takeSnapshot, V1 } from '../support/server-snapshots.js'
import { jobOf } from '../support/volumes.js'

const MIB = 1024 * 1024
let api: TestApi
let server: Machine
let measure: StorageAuditor['measure']

/** Every layer holds a MiB of its own, at an address of its own. */
const heldApart = (ids: readonly string[]): Holdings => ({
  layers: ids,
  rows: ids.map((_, index) => ({ holds: ids.map((__, other) => (other === index ? 'd' : '-')).join(''), bytes: MIB })),
})

beforeEach(async () => {
  measure = async ({ trees, pools }) => ({
    trees: trees.map((tree) => ({
      allocated: Object.fromEntries(tree.map(({ layerId }) => [layerId, 2 * MIB])),
      held: heldApart(tree.map(({ layerId }) => layerId)),
      exact: true,
    })),
    free: Object.fromEntries(pools.map((path) => [path, 100 * MIB])),
  })
  const observe = () => Promise.reject(unavailable('not asked for'))
  api = await openApi({ services: { auditor: { observe, measure: (_, request) => measure(request) } } })
  server = await machine(api)
})
afterEach(() => api.close())

const plan = async (path: string, body: object = {}) => (await api.as('member').post(`${V1}/${path}`).send(body).expect(200)).body.plan
const deletePlan = (id: string, body: object = {}) => plan(`server-snapshots/${id}/delete-plan`, body)

async function isGood(request: PlanRequest, hash: string): Promise<boolean> {
  const row = await api.db.read.servers.find(ANY, server.serverId)
  if (row === undefined) throw new Error('no server')
  return await requirePlan(api.db.read, row, request, hash).then(
    () => true,
    (error: { kind?: string }) => {
      expect(error.kind).toBe('preconditionFailed')
      return false
    },
  )
}

describe('a plan of a delete', () => {
  it('tells per disk which way its data goes, how much it is, and who has what it wants', async () => {
    covers('planDeleteServerSnapshot', 'success')
    const [one, two] = [await takeSnapshot(api, server.serverId), await takeSnapshot(api, server.serverId)]
    const made = await deletePlan(two)
    expect(made).toMatchObject({ kind: 'delete', possible: true, exact: true, deletes: [{ id: two }], victims: [], restarts_guest: false })
    // Both disks: the layer of the snapshot takes no less than the disk's top above it.
    expect(made.disks).toMatchObject([
      { device: 'vda', direction: 'pull', bytes_to_copy: MIB, extra_bytes_at_peak: MIB, reclaimable_bytes: MIB, pause_seconds: 0 },
      { device: 'vdb', volume_id: server.volumeId, direction: 'pull', steps: [{ kind: 'pull', live: true, follow_on: false }] },
    ])
    expect(made).toMatchObject({ bytes_to_copy: 2 * MIB, extra_bytes_at_peak: 2 * MIB, reclaimable_bytes: 2 * MIB })
    expect(made.locks).toEqual(expect.arrayContaining([`chain:${server.rootDiskId}`, expect.stringMatching(/^layer:/)]))
    expect(made.waits_for).toEqual([])
    const { job_id } = await requestSnapshot(api, server.serverId)
    expect((await deletePlan(one)).waits_for).toEqual(expect.arrayContaining([expect.objectContaining({ job_id })]))
  })

  it('names the victims, and what refuses it', async () => {
    const [one, two, three] = [
      await takeSnapshot(api, server.serverId),
      await takeSnapshot(api, server.serverId),
      await takeSnapshot(api, server.serverId),
    ]
    await api.db.transaction((stores) => stores.serverSnapshots.update(three, { protected: true }))
    const discard = await deletePlan(two, { mode: 'discard' })
    expect(discard).toMatchObject({ possible: false, deletes: [{ id: two }], victims: [{ id: three }] })
    const forced = await deletePlan(one, { mode: 'discard_force' })
    expect(forced.deletes.map(({ id }: { id: string }) => id).toSorted()).toEqual([one, two, three].toSorted())
    expect(forced.possible).toBe(false)
    const unmet = (made: { preconditions: { name: string; met: boolean }[] }) =>
      made.preconditions.flatMap(({ name, met }) => (met ? [] : name))
    expect([unmet(discard), unmet(forced)]).toEqual([['no_children'], ['unprotected']])
  })

  it('says that there is no room, and that files are missing', async () => {
    const one = await takeSnapshot(api, server.serverId)
    const before = measure
    measure = async (request) => {
      const { trees } = await before(request)
      return {
        trees: trees.map((tree) => ({ ...tree, allocated: Object.fromEntries(Object.keys(tree.allocated).map((id) => [id, null])) })),
        free: Object.fromEntries(request.pools.map((path) => [path, 1])),
      }
    }
    const { preconditions, possible } = await deletePlan(one)
    expect(preconditions).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'room', met: false }),
        expect.objectContaining({ name: 'files', met: false }),
      ]),
    )
    expect(possible).toBe(true)
  })

  it('takes a tag out of the disk, and then merges what its being there kept from it', async () => {
    const [below, tagged] = [await takeSnapshot(api, server.serverId), await takeSnapshot(api, server.serverId, { kind: 'internal' })]
    await api.db.transaction(async (stores) => {
      for (const part of await stores.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: below } } }))
        await stores.diskSnapshots.remove(part.id)
    })
    const [disk] = (await deletePlan(tagged)).disks
    expect(disk).toMatchObject({ direction: 'discard', reason: expect.stringContaining('tag'), bytes_to_copy: MIB })
    expect(disk.steps).toMatchObject([{ kind: 'pull', follow_on: true }])
    await takeSnapshot(api, server.serverId)
    expect((await deletePlan(tagged)).disks[0]).toMatchObject({ direction: 'keep', reason: expect.stringContaining('stays in a file') })
  })

  it('is an old one once the structure is another, and no earlier', async () => {
    const one = await takeSnapshot(api, server.serverId)
    const request = { kind: 'delete', id: one, mode: 'merge', children: 'share' } as const
    const { hash } = await deletePlan(one)
    expect(await deletePlan(one)).toMatchObject({ hash })
    expect(await isGood(request, hash)).toBe(true)
    expect(await isGood({ ...request, children: 'each' }, hash)).toBe(false)
    await api.db.transaction((stores) => stores.serverSnapshots.update(one, { description: 'another' }))
    expect(await isGood(request, hash)).toBe(true)
    await api.db.transaction((stores) => stores.servers.update(server.serverId, { vmState: 'stopped' }))
    expect(await isGood(request, hash)).toBe(false)
    const now = (await deletePlan(one)).hash
    expect(await isGood(request, now)).toBe(true)
    await takeSnapshot(api, server.serverId)
    expect(await isGood(request, now)).toBe(false)
  })

  it('is what a delete may be bound to: refused when the world changed, else accepted', async () => {
    const one = await takeSnapshot(api, server.serverId)
    const path = `${V1}/server-snapshots/${one}`
    const { hash } = await deletePlan(one, { children: 'each' })
    // Planned with other words.
    expect((await api.as('member').delete(`${path}?plan=${hash}`).expect(412)).body.error).toMatchObject({
      code: 412,
      kind: 'preconditionFailed',
    })
    await takeSnapshot(api, server.serverId)
    await api.as('member').delete(`${path}?children=each&plan=${hash}`).expect(412)
    expect((await api.db.read.serverSnapshots.find(ANY, one))?.status).toBe('available')
    const fresh = await deletePlan(one, { children: 'each' })
    await api.as('member').delete(`${path}?children=each&plan=${fresh.hash}`).expect(202)
  })

  it('changes nothing, and is nobody else’s to ask for', async () => {
    covers('planDeleteServerSnapshot', 'invalid', 'foreign')
    const one = await takeSnapshot(api, server.serverId)
    const before = JSON.stringify(await api.db.read.jobs.list(ANY))
    await deletePlan(one)
    expect(JSON.stringify(await api.db.read.jobs.list(ANY))).toBe(before)
    await api.as('foreign').post(`${V1}/server-snapshots/${one}/delete-plan`).send({}).expect(404)
    await api.as('member').post(`${V1}/server-snapshots/${one}/delete-plan`).send({ mode: 'burn' }).expect(400)
    measure = () => Promise.reject(unavailable('nobody there'))
    await api.as('member').post(`${V1}/server-snapshots/${one}/delete-plan`).send({}).expect(503)
  })
})

describe('a plan of a revert', () => {
  it('tells what is given up, what follows, and that a server that is on needs a power state', async () => {
    covers('planRevertServer', 'success')
    const [one] = [await takeSnapshot(api, server.serverId), await takeSnapshot(api, server.serverId)]
    const made = await plan(`server-snapshots/${one}/revert-plan`)
    expect(made).toMatchObject({ kind: 'revert', possible: false, restarts_guest: true, bytes_to_copy: 0 })
    expect(made.preconditions).toContainEqual(expect.objectContaining({ name: 'power_state', met: false }))
    expect(made.disks).toMatchObject([
      { device: 'vda', way_back: 'overlay', direction: 'discard', reclaimable_bytes: 2 * MIB },
      { device: 'vdb', way_back: 'overlay', direction: 'discard' },
    ])
    expect(made.locks).toContain(`power:${server.serverId}`)
    expect(await plan(`server-snapshots/${one}/revert-plan`, { power_state: 'stopped' })).toMatchObject({ possible: true })
  })

  it('is what a revert may be bound to', async () => {
    const one = await takeSnapshot(api, server.serverId)
    const revert = (body: object) => api.as('member').post(`${V1}/server-snapshots/${one}/revert`).send(body)
    const { hash } = await plan(`server-snapshots/${one}/revert-plan`, { power_state: 'stopped' })
    await revert({ power_state: 'running', plan: hash }).expect(412)
    await revert({ power_state: 'stopped', keep_current: true, plan: hash }).expect(412)
    await api.db.transaction((stores) => stores.servers.update(server.serverId, { vmState: 'paused' }))
    await revert({ power_state: 'stopped', plan: hash }).expect(412)
    const fresh = await plan(`server-snapshots/${one}/revert-plan`, { power_state: 'stopped' })
    await revert({ power_state: 'stopped', plan: fresh.hash }).expect(202)
  })

  it('follows on to what only the present stood on', async () => {
    const [one, two] = [await takeSnapshot(api, server.serverId), await takeSnapshot(api, server.serverId)]
    // The second is deleted and its merge put off: the layer is nobody's, but the present stands on it.
    await api.db.transaction(async (stores) => {
      for (const part of await stores.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: two } } }))
        await stores.diskSnapshots.remove(part.id)
      await stores.servers.update(server.serverId, { currentSnapshotId: one })
      await stores.serverSnapshots.remove(two)
    })
    const made = await plan(`server-snapshots/${one}/revert-plan`, { power_state: 'stopped' })
    expect(made.disks[0].steps).toMatchObject([
      { kind: 'discard', follow_on: false },
      { kind: 'discard', follow_on: true },
    ])
  })

  it('copies what a tag holds when its file was snapshotted since, and cannot load memory over it', async () => {
    covers('planRevertServer', 'invalid', 'foreign')
    const one = await takeSnapshot(api, server.serverId, { kind: 'internal' })
    expect((await plan(`server-snapshots/${one}/revert-plan`, { power_state: 'stopped' })).disks).toMatchObject([
      { way_back: 'in_place', bytes_to_copy: 0 },
      { way_back: 'in_place', direction: 'discard' },
    ])
    await takeSnapshot(api, server.serverId)
    const made = await plan(`server-snapshots/${one}/revert-plan`, { power_state: 'stopped' })
    expect(made.disks[0]).toMatchObject({ way_back: 'copy', bytes_to_copy: MIB })
    expect(made.bytes_to_copy).toBe(2 * MIB)
    await api.as('foreign').post(`${V1}/server-snapshots/${one}/revert-plan`).send({}).expect(404)
    await api.as('member').post(`${V1}/server-snapshots/${one}/revert-plan`).send({ power_state: 'asleep' }).expect(400)
  })
})

describe('a plan of going back to memory', () => {
  const memoryOf = async (id: string, body: object = {}) => {
    const { possible, preconditions } = await plan(`server-snapshots/${id}/revert-plan`, body)
    return [possible, ...preconditions.flatMap(({ met, sentence }: { met: boolean; sentence: string }) => (met ? [] : [sentence]))]
  }
  const withMemory = async () => {
    const id = await takeSnapshot(api, server.serverId, { memory: true })
    const [memory] = await api.db.read.memoryStates.list(ANY, { where: { serverSnapshotId: { is: id } } })
    await api.db.transaction((stores) => stores.memoryStates.update(memory?.id ?? '', { status: 'saved' }))
    return id
  }

  it('refuses what going back would refuse: disks it does not know, resized ones, and a server that is to be off', async () => {
    const id = await withMemory()
    expect(await memoryOf(id)).toEqual([true])
    expect(await memoryOf(id, { power_state: 'stopped' })).toEqual([false, expect.stringContaining('running or paused')])
    const data = await api.db.read.disks.list(ANY, { where: { serverId: { is: server.serverId }, kind: { is: 'volume' } } })
    const [disk] = data
    await api.db.transaction((stores) => stores.disks.update(disk?.id ?? '', { virtualSize: (disk?.virtualSize ?? 0) * 2 }))
    expect(await memoryOf(id)).toEqual([false, expect.stringContaining('resized since: vdb')])
    await api.db.transaction((stores) =>
      stores.disks.insert({ ...(disk as NonNullable<typeof disk>), id: randomUUID(), topLayerId: null, kind: 'root' }),
    )
    expect(await memoryOf(id)).toEqual([false, expect.stringContaining('does not know')])
    await api.as('member').post(`${V1}/server-snapshots/${id}/revert`).send({ power_state: 'running' }).expect(409)
  })
})

describe('a plan of a consolidation', () => {
  it('names what is kept by nobody, and why it stays', async () => {
    covers('planConsolidateServer', 'success', 'invalid', 'foreign')
    const one = await takeSnapshot(api, server.serverId)
    const path = `servers/${server.serverId}/consolidate-plan`
    expect(await plan(path)).toMatchObject({ kind: 'consolidate', disks: [], possible: true })
    await api.db.transaction(async (stores) => {
      for (const part of await stores.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: one } } }))
        await stores.diskSnapshots.remove(part.id)
    })
    expect((await plan(path)).disks).toMatchObject([{ direction: 'pull', bytes_to_copy: MIB }, { direction: 'pull' }])
    await api.as('foreign').post(`${V1}/${path}`).send({}).expect(404)
    await api.as('member').post(`${V1}/${path}`).send({ children: 'none' }).expect(400)
  })
})

it('knows the job of a snapshot that is being taken', async () => {
  const { server_snapshot } = await requestSnapshot(api, server.serverId)
  const made = await deletePlan(server_snapshot.id)
  expect(made).toMatchObject({ possible: false, disks: [] })
  expect((await jobOf(api, server_snapshot.id)).state).toBe('queued')
})
