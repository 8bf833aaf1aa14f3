/** Deleting server snapshots: four modes, who may not go and why, many at once, and those whose time is over. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ServerSnapshotStatus } from '../../../src/domain/server-snapshot.js'
import type { DeleteServerSnapshotsInput } from '../../../src/domain/server-snapshot-operations.js'
import { ANY } from '../../../src/ports/stores.js'
import { covers, openApi, type TestApi } from '../../support/api.js'
import { type Machine, machine, requestSnapshot, takeSnapshot, V1 } from '../../support/server-snapshots.js'

let api: TestApi
let vm: Machine
/** a ── b ── c (current), and d beside c. */
let ids: Record<'a' | 'b' | 'c' | 'd', string>

beforeAll(async () => {
  api = await openApi()
  await api.db.transaction((stores) => stores.quotas.setLimits(api.projectId('member'), { snapshots: -1, volumes: -1, gigabytes: -1 }))
})
afterAll(() => api.close())
beforeEach(async () => {
  vm = await machine(api)
  const a = await takeSnapshot(api, vm.serverId, { name: 'a' })
  const b = await takeSnapshot(api, vm.serverId, { name: 'b' })
  const d = await takeSnapshot(api, vm.serverId, { name: 'd', kind: 'internal' })
  await api.db.transaction((stores) => stores.servers.update(vm.serverId, { currentSnapshotId: b }))
  ids = { a, b, d, c: await takeSnapshot(api, vm.serverId, { name: 'c' }) }
})

const remove = (id: string, query = '', role: 'member' | 'reader' | 'foreign' = 'member') =>
  api.as(role).delete(`${V1}/server-snapshots/${id}${query}`)
const removeMany = (query = '', role: 'member' | 'reader' | 'foreign' = 'member') =>
  api.as(role).delete(`${V1}/servers/${vm.serverId}/snapshots${query}`)
const set = (id: string, patch: { status?: ServerSnapshotStatus; protected?: boolean; expiresAt?: number }) =>
  api.db.transaction((stores) => stores.serverSnapshots.update(id, patch))
const deleting = async (): Promise<string[]> => {
  const found = await api.db.read.serverSnapshots.list(ANY, { where: { serverId: { is: vm.serverId }, status: { is: 'deleting' } } })
  return found.map(({ name }) => name).toSorted()
}
const jobInput = async (jobId: string) => (await api.db.read.jobs.find(ANY, jobId))?.input as DeleteServerSnapshotsInput
const namesOf = (named: { name: string }[]) => named.map(({ name }) => name).toSorted()

describe('deleting one', () => {
  it.each(['', '?mode=merge', '?mode=merge_force&children=each'])(
    'by merging%s takes it alone, wherever it stands in the tree',
    async (query) => {
      covers('deleteServerSnapshot', 'success')
      for (const name of ['b', 'a', 'd', 'c'] as const) {
        const { body } = await remove(ids[name], query).expect(202)
        expect(body.deleting).toEqual([{ id: ids[name], name }])
        expect(await jobInput(body.job_id)).toEqual({
          serverId: vm.serverId,
          serverSnapshotIds: [ids[name]],
          children: query.endsWith('each') ? 'each' : 'share',
          diskIds: name === 'd' ? [vm.rootDiskId, expect.any(String)] : [],
        })
      }
      expect(await deleting()).toEqual(['a', 'b', 'c', 'd'])
    },
  )

  it('by discarding is refused with the names of those that grew from it', async () => {
    const { error } = (await remove(ids.a, '?mode=discard').expect(409)).body
    expect(namesOf(error.victims)).toEqual(['b', 'c', 'd'])
    expect(error.message).toMatch(/"b".*"c"|"b".*"d"/)
    expect(await deleting()).toEqual([])
    await remove(ids.c, '?mode=discard').expect(202)
  })

  it('by discarding with force takes all that grew from it, last first', async () => {
    const { body } = await remove(ids.b, '?mode=discard_force').expect(202)
    expect(namesOf(body.deleting)).toEqual(['b', 'c', 'd'])
    expect(body.deleting.at(-1).name).toBe('b')
    expect((await jobInput(body.job_id)).serverSnapshotIds.at(-1)).toBe(ids.b)
    expect(await deleting()).toEqual(['b', 'c', 'd'])
  })

  it('keeps what is protected, in every mode, also as a descendant', async () => {
    await set(ids.c, { protected: true })
    for (const mode of ['merge', 'merge_force', 'discard', 'discard_force'])
      expect((await remove(ids.c, `?mode=${mode}`).expect(409)).body.error.protected).toEqual([{ id: ids.c, name: 'c' }])
    const { error } = (await remove(ids.a, '?mode=discard_force').expect(409)).body
    expect(error).toMatchObject({ message: expect.stringContaining('"c"'), protected: [{ name: 'c' }] })
    expect(await deleting()).toEqual([])
    await remove(ids.b).expect(202)
  })

  it('waits for nobody: one that is in use is refused, and who is at work is named', async () => {
    covers('deleteServerSnapshot', 'wrong state')
    const { server_snapshot } = await requestSnapshot(api, vm.serverId, { name: 'e' })
    const { error } = (await remove(server_snapshot.id).expect(409)).body
    expect(error).toMatchObject({ busy: [{ name: 'e' }], holder: { operation: 'create-server-snapshot' } })
    await set(ids.b, { status: 'reverting' })
    await remove(ids.b).expect(409)
    expect((await remove(ids.a, '?mode=discard_force').expect(409)).body.error.busy).toEqual([{ id: ids.b, name: 'b' }])
    await remove(ids.c).expect(202)
    await remove(ids.c).expect(409)
    await set(ids.d, { status: 'error_deleting' })
    await remove(ids.d).expect(202)
  })

  it('is refused to others, and when it is not clear what is meant', async () => {
    covers('deleteServerSnapshot', 'invalid', 'foreign')
    await remove(ids.a, '?mode=burn').expect(400)
    await remove(ids.a, '?mode=merge&mode=discard').expect(400)
    await remove(ids.a, '?children=none').expect(400)
    await remove(ids.a, '', 'foreign').expect(404)
    await remove(ids.a, '', 'reader').expect(403)
    expect(await deleting()).toEqual([])
  })
})

describe('deleting many', () => {
  const outcomes = (results: { name: string; outcome: string }[]) => Object.fromEntries(results.map(({ name, outcome }) => [name, outcome]))

  it('takes all of a server, with one job and one result each', async () => {
    covers('deleteServerSnapshots', 'success')
    const { body } = await removeMany('?mode=discard').expect(202)
    expect(outcomes(body.results)).toEqual({ a: 'accepted', b: 'accepted', c: 'accepted', d: 'accepted' })
    expect((await jobInput(body.job_id)).serverSnapshotIds).toHaveLength(4)
    expect((await removeMany().expect(202)).body).toEqual({ job_id: null, results: [] })
  })

  it('takes those that are named, and says of each why not', async () => {
    await set(ids.a, { protected: true })
    const { body } = await removeMany(`?mode=discard&id=${ids.a}&id=${ids.b}&id=${ids.c}&id=nobody`).expect(202)
    const by = Object.fromEntries(body.results.map((result: { id: string }) => [result.id, result]))
    expect(by[ids.c]).toMatchObject({ outcome: 'accepted', message: null, named: [] })
    expect(by[ids.b]).toMatchObject({ outcome: 'refused', named: [{ name: 'd' }] })
    expect(by[ids.a]).toMatchObject({ outcome: 'refused', message: expect.stringContaining('grew from') })
    expect(by['nobody']).toMatchObject({ outcome: 'not_found', name: null })
    expect(await deleting()).toEqual(['c'])
  })

  it('with force takes what grew from those that are named', async () => {
    const { body } = await removeMany(`?mode=discard_force&id=${ids.b}`).expect(202)
    expect(outcomes(body.results)).toEqual({ b: 'accepted', c: 'accepted', d: 'accepted' })
    expect(await deleting()).toEqual(['b', 'c', 'd'])
  })

  it('that takes nothing is refused with the same results', async () => {
    covers('deleteServerSnapshots', 'invalid', 'foreign', 'wrong state')
    await set(ids.a, { protected: true })
    const { error } = (await removeMany(`?id=${ids.a}`).expect(409)).body
    expect(error.results).toMatchObject([{ id: ids.a, name: 'a', outcome: 'refused', message: expect.stringContaining('Protected') }])
    await removeMany('?mode=burn').expect(400)
    await removeMany('', 'foreign').expect(404)
    await removeMany('', 'reader').expect(403)
  })

  it('never takes snapshots of another server', async () => {
    const other = await machine(api)
    const id = await takeSnapshot(api, other.serverId)
    expect((await removeMany(`?id=${id}`).expect(409)).body.error.results).toMatchObject([{ id, outcome: 'not_found', name: null }])
    expect(await api.db.read.serverSnapshots.find(ANY, id)).toMatchObject({ status: 'available' })
  })
})

describe('deleting the server', () => {
  const removeServer = () => api.as('member').delete(`/compute/v2.1/servers/${vm.serverId}`)

  it('is refused while one of its snapshots is protected, which it names', async () => {
    await set(ids.b, { protected: true })
    const { conflictingRequest } = (await removeServer().expect(409)).body
    expect(conflictingRequest).toMatchObject({ message: expect.stringContaining('"b"'), protected: [{ id: ids.b, name: 'b' }] })
    expect(await api.db.read.servers.find(ANY, vm.serverId)).toMatchObject({ taskState: null })
    await set(ids.b, { protected: false })
    await removeServer().expect(204)
    const late = await api.as('member').patch(`${V1}/server-snapshots/${ids.b}`).send({ protected: true }).expect(409)
    expect(late.body.error.message).toContain('being deleted')
  })
})

describe('expired ones', () => {
  it('go by themselves, unless they are protected or in use', async () => {
    for (const id of Object.values(ids)) await set(id, { expiresAt: 1 })
    await set(ids.a, { protected: true })
    await set(ids.b, { status: 'reverting' })
    await set(ids.d, { expiresAt: (Date.now() + 60_000) * 1000 })
    expect(await api.services.serverSnapshot.removeExpired()).toBe(1)
    expect(await deleting()).toEqual(['c'])
    const [job] = await api.db.read.jobs.list(ANY, {
      where: { operation: { is: 'delete-server-snapshots' }, resourceId: { is: vm.serverId } },
    })
    expect(job?.input).toMatchObject({ serverSnapshotIds: [ids.c], children: 'share' })
    expect(await api.services.serverSnapshot.removeExpired()).toBe(0)
  })

  it('go a hundred at a time', async () => {
    const copy = await api.db.read.serverSnapshots.find(ANY, ids.c)
    if (copy === undefined) throw new Error('gone')
    await api.db.transaction(async (stores) => {
      for (let made = 0; made < 150; made++)
        await stores.serverSnapshots.insert({ ...copy, id: `expired-${made}`, name: `expired-${made}`, expiresAt: 1 })
    })
    expect(await api.services.serverSnapshot.removeExpired()).toBe(100)
    expect(await api.services.serverSnapshot.removeExpired()).toBe(50)
  })
})
