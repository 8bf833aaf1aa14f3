/** A QEMU that is stopped keeps whoever waits for its answer; an operation that ends it must not wait with them. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSnapshot, deleteServer, mergeLayer, stopServer } from '../../src/domain/operations.js'
import { registry } from '../../src/operations/registry.js'
import { ANY } from '../../src/ports/stores.js'
import { createLocalDoorbell } from '../../src/worker/doorbell.js'
import { createPowerCut } from '../../src/worker/power-cut.js'
import { createWorker, type WorkerOptions, type WorkerProcess } from '../../src/worker/worker.js'
import { killGuests } from './engine.js'
import { guests } from './monitor.js'
import { judge } from './oracle.js'
import { type Incarnation, incarnate, makeClock } from './ports.js'
import { HEAVY, SMALL, served, TOP } from './stage.js'
import { makeWorld, type Volumed, type World } from './world.js'

const clock = {
  now: () => Date.now() * 1000,
  monotonic: () => Math.round(performance.now() * 1000),
  sleep: (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis)),
  advance: () => {},
}
const log = { info: () => {}, warn: () => {}, error: () => {} }

let world: World
let life: Incarnation
let worker: WorkerProcess | undefined
beforeEach(async () => {
  world = await makeWorld(makeClock())
  life = await incarnate({ ...world, clock }, 'honest')
})
afterEach(async () => {
  await killGuests(world.dir)
  await worker?.stop()
  await life.die()
  await world.destroy()
})

async function work(gap: NonNullable<WorkerOptions['gap']>): Promise<void> {
  worker = createWorker({
    ports: life.ports,
    registry,
    workerId: 'w',
    doorbell: createLocalDoorbell(),
    log,
    leaseMs: 60_000,
    pollMs: 50,
    gap,
  })
  await worker.start()
}

const stateOf = async (jobId: string): Promise<string | undefined> => (await world.db.read.jobs.find(ANY, jobId))?.state

async function ended(jobIds: readonly string[], meanwhile: () => Promise<unknown>): Promise<(string | undefined)[]> {
  for (;;) {
    const states = await Promise.all(jobIds.map(stateOf))
    if (states.every((state) => !['queued', 'running', 'undoing'].includes(state ?? 'gone'))) return states
    await meanwhile()
    await clock.sleep(50)
  }
}

async function merging(volume: Volumed): Promise<{ jobId: string; at: string }> {
  const [layerId = '', ...layerIds] = volume.layerIds
  const jobId = await world.enqueue(mergeLayer, { layerId, layerIds, diskIds: [volume.diskId], children: 'share' })
  return { jobId, at: 'move-data:before-apply' }
}

async function snapping(volume: Volumed, serverId: string): Promise<{ jobId: string; at: string }> {
  const snapshotId = await world.snapshot(volume, null, 'creating', serverId)
  const switches = [{ diskId: volume.diskId, layerId: await world.planned() }]
  const input = { serverId, switches, snapshots: [{ snapshotId, diskId: volume.diskId }], quiesce: 'none' as const, imageId: null }
  return { jobId: await world.enqueue(createSnapshot, input), at: 'plug-layers:before-apply' }
}

describe('a QEMU that gives no answer', { timeout: 120_000 }, () => {
  it.each([
    ['merge', 'stop'],
    ['snapshot', 'stop'],
    ['merge', 'delete'],
  ] as const)('while a %s waits for it is ended for a %s, and what waited goes on without it', async (waits, ends) => {
    const { serverId, volume } = await served(world, 'active', [HEAVY, SMALL])
    const pid = (await guests(world.dir)).get(serverId) ?? 0
    const first = waits === 'merge' ? await merging(volume) : await snapping(volume, serverId)
    let second = ''
    await work(async (job, point) => {
      if (job.id !== first.jobId || point !== first.at || second !== '') return
      process.kill(pid, 'SIGSTOP')
      await world.db.transaction((s) => s.servers.update(serverId, { taskState: ends === 'stop' ? 'powering-off' : 'deleting' }))
      const input = { serverId, diskIds: [volume.diskId] }
      second = ends === 'stop' ? await world.enqueue(stopServer, { ...input, graceMs: 0 }) : await world.enqueue(deleteServer, input)
    })
    const cuts = createPowerCut({ ports: life.ports, registry, log, silentMs: 600, answerMs: 200 })
    while (second === '') await clock.sleep(20)
    const cut: string[] = []
    const states = await ended([first.jobId, second], async () => cut.push(...(await cuts.look())))
    expect(cut).toEqual([serverId])
    expect(states[1]).toBe('done')
    expect(await world.db.read.servers.find(ANY, serverId)).toMatchObject({
      vmState: ends === 'stop' ? 'stopped' : 'deleted',
      taskState: null,
    })
    if (waits === 'merge') expect(states[0]).toBe('done')
    await worker?.drain(10_000)
    expect(await judge(world)).toEqual([])
  })

  it('is let be while nobody wants it ended, within its grace, and when it answers again', async () => {
    const { serverId, volume } = await served(world, 'active', [HEAVY, SMALL, TOP])
    const pid = (await guests(world.dir)).get(serverId) ?? 0
    const { ports } = life
    const cuts = createPowerCut({ ports, registry, log, silentMs: 0, answerMs: 100 })
    // The lock is somebody's who says nothing more.
    const input = { serverId, diskIds: [volume.diskId] }
    const holder = await world.enqueue(stopServer, { ...input, graceMs: 0 })
    await world.db.transaction((s) => s.jobs.claim({ hostId: world.hostId, workerId: 'x', now: clock.now(), leaseFor: 1e9, except: [] }))
    process.kill(pid, 'SIGSTOP')
    expect(await cuts.look()).toEqual([])
    const stop = await world.enqueue(stopServer, { ...input, graceMs: 2 ** 40 })
    expect(await cuts.look()).toEqual([])
    await world.enqueue(deleteServer, input)
    process.kill(pid, 'SIGCONT')
    expect(await createPowerCut({ ports, registry, log, silentMs: 0, answerMs: 10_000 }).look()).toEqual([])
    expect(await ports.hypervisor.isRunning(serverId)).toBe(true)
    process.kill(pid, 'SIGSTOP')
    expect(await cuts.look()).toEqual([serverId])
    expect([await stateOf(holder), await stateOf(stop)]).toEqual(['running', 'queued'])
  })
})
