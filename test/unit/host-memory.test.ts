/** Guests saved with their host's service and brought back with it: which, and what the tables say of them meanwhile. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RestoreServerInput, SaveServerInput } from '../../src/domain/memory-operations.js'
import type { Server } from '../../src/domain/server.js'
import { systemClock } from '../../src/host/clock.js'
import { ANY } from '../../src/ports/stores.js'
import { createHostMemory, type HostMemory } from '../../src/worker/host-memory.js'
import { HOST_ID, openApi, type TestApi } from '../support/api.js'
import { memoryStateRow, serverRow } from '../support/rows.js'

let api: TestApi
let memory: HostMemory
const rung: string[] = []
beforeAll(async () => {
  api = await openApi()
  const settings = { hostId: HOST_ID, freezeBudgetMs: 1, maxVirtualSize: 1, unplugTimeoutMs: 1 }
  const log = { info: () => {}, warn: () => {} }
  memory = createHostMemory({
    ports: { db: api.db, clock: systemClock, settings },
    doorbell: { ring: (host) => void rung.push(host) },
    log,
  })
})
afterAll(() => api.close())

async function server(patch: Partial<Server>): Promise<string> {
  const row = serverRow({ hostId: HOST_ID, projectId: api.projectId('member'), vmState: 'active', taskState: null, ...patch })
  await api.db.transaction(async (stores) => {
    await stores.servers.insert(row)
    const { id: serverId, projectId, hostId } = row
    const disk = { poolId: api.poolId, kind: 'root', topLayerId: null, virtualSize: 1, createdAt: 1 } as const
    await stores.disks.insert({ id: randomUUID(), serverId, projectId, hostId, ...disk })
  })
  return row.id
}
const job = async (serverId: string) =>
  (await api.db.read.jobs.list(ANY, { where: { resourceType: { is: 'server' }, resourceId: { is: serverId } } }))[0]

describe('the guests of a host', () => {
  it('are all saved, those that do something else behind it; the end of every job is waited for', async () => {
    const running = await server({})
    const paused = await server({ vmState: 'paused' })
    const busy = await server({ taskState: 'image_uploading' })
    const leaving = await server({ taskState: 'deleting' })
    const off = await server({ vmState: 'stopped' })
    const elsewhere = await server({ hostId: 'host-b' })
    let isOver = false
    const saving = memory.saveAll().then(() => {
      isOver = true
    })
    while (rung.length === 0) await systemClock.sleep(5)
    for (const id of [leaving, off, elsewhere]) expect(await job(id)).toBeUndefined()
    for (const [id, taskState] of [
      [running, 'suspending'],
      [paused, 'suspending'],
      [busy, 'image_uploading'],
    ] as const) {
      const input = (await job(id))?.input as SaveServerInput
      expect(input).toMatchObject({ serverId: id, becomes: 'suspended', diskIds: [expect.any(String)] })
      expect((await api.db.read.servers.find(ANY, id))?.taskState).toBe(taskState)
      const state = await api.db.read.memoryStates.find(ANY, input.memoryStateId)
      expect(state).toMatchObject({ status: 'planned', resumeAtStart: true, poolId: api.poolId, hostId: HOST_ID })
    }
    expect(isOver).toBe(false)
    for (const id of [running, paused, busy]) await api.db.transaction(async (s) => s.jobs.requestCancel(ANY, (await job(id))?.id ?? ''))
    const claimed = { hostId: HOST_ID, workerId: 'w', leaseFor: 60_000_000, except: [] }
    for (;;) {
      const claim = await api.db.transaction((s) => s.jobs.claim({ ...claimed, now: systemClock.now() }))
      if (claim === undefined) break
      await api.db.transaction((s) => s.jobs.settle(claim.lease, 'cancelled', null))
    }
    await saving
  })

  it('come back once, but those of servers that are not to', async () => {
    const ids = await Promise.all([
      server({ vmState: 'suspended' }),
      server({ vmState: 'suspended', autostart: false }),
      server({ vmState: 'suspended' }),
      server({ vmState: 'suspended', taskState: 'deleting' }),
    ])
    const states = ids.map((serverId, at) => memoryStateRow({ serverId, hostId: HOST_ID, resumeAtStart: at !== 2 }))
    await api.db.transaction(async (stores) => {
      for (const state of states) await stores.memoryStates.insert(state)
    })
    expect(await memory.restoreAll()).toBe(1)
    const [first = '', ...others] = ids
    expect((await job(first))?.input as RestoreServerInput).toMatchObject({ serverId: first, memoryStateId: states[0]?.id })
    expect((await api.db.read.servers.find(ANY, first))?.taskState).toBe('resuming')
    for (const id of others) expect(await job(id)).toBeUndefined()
    expect(await memory.restoreAll()).toBe(0)
  })
  it('come back also when the last service was killed while it saved them: as soon as that has ended', async () => {
    const [saving = '', failing = '', settling = '', own = ''] = await Promise.all([
      server({ taskState: 'suspending' }),
      server({ taskState: 'suspending' }),
      server({ taskState: 'suspending' }),
      server({ vmState: 'suspended' }),
    ])
    const stateOf = (serverId: string, status: 'planned' | 'saved') =>
      memoryStateRow({ serverId, hostId: HOST_ID, resumeAtStart: true, status })
    const states = [stateOf(saving, 'planned'), stateOf(failing, 'planned'), stateOf(settling, 'saved')] as const
    await api.db.transaction(async (stores) => {
      for (const state of states) await stores.memoryStates.insert(state)
    })
    expect([await memory.restoreAll(), await memory.restoreLate()]).toEqual([0, 0])
    await api.db.transaction(async (stores) => {
      await stores.memoryStates.transition(states[0].id, ['planned'], { status: 'saved' })
      await stores.memoryStates.remove(states[1].id)
      for (const id of [saving, settling]) await stores.servers.update(id, { vmState: 'suspended', taskState: null })
      await stores.servers.update(failing, { taskState: null })
      // Saved since this service started: for the next one.
      await stores.memoryStates.insert(stateOf(own, 'saved'))
    })
    expect([await memory.restoreLate(), await memory.restoreLate()]).toEqual([2, 0])
    for (const [at, id] of [saving, settling].entries())
      expect((await job(id))?.input as RestoreServerInput).toMatchObject({ serverId: id, memoryStateId: states[at * 2]?.id })
    for (const id of [failing, own]) expect(await job(id)).toBeUndefined()
  })
})
