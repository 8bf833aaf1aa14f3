/** A merge that is interrupted while it copies: by a kill, or to make way. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSnapshot, mergeLayer } from '../../src/domain/operations.js'
import { operationKey, registry } from '../../src/operations/registry.js'
import { ANY } from '../../src/ports/stores.js'
import type { WorkerPorts } from '../../src/steps/tools.js'
import type { RunResult } from '../../src/worker/endings.js'
import { runJob } from '../../src/worker/runner.js'
import { drive, killGuests } from './engine.js'
import { type Monitor, openMonitor } from './monitor.js'
import { judge } from './oracle.js'
import { incarnate, makeClock } from './ports.js'
import { boot, socketOf } from './stage.js'
import { makeWorld, type Volumed, type World } from './world.js'

const execute = promisify(execFile)
const fill = (blocks: number[], byte: number) => new Map(blocks.map((block) => [block, byte]))

let world: World
let volume: Volumed
let serverId: string
let monitor: Monitor
let started = 0
let held = false

/** Stops in mid-copy and never ends by itself. */
function slow(ports: WorkerPorts): WorkerPorts {
  return {
    ...ports,
    hypervisor: {
      ...ports.hypervisor,
      async find(id) {
        const guest = await ports.hypervisor.find(id)
        if (guest === undefined) return undefined
        const startMerge: typeof guest.blocks.startMerge = async (job, root, merge) => {
          started++
          await guest.blocks.startMerge(job, root, merge, { speed: 65536 })
          // A throttle alone does not hold it: every look at the graph lets one more chunk through.
          await monitor.ask('block-job-pause', { device: job })
          held = true
        }
        return { ...guest, blocks: { ...guest.blocks, startMerge } }
      },
    },
  }
}

async function runOne(ports: WorkerPorts, signals: { stop: AbortSignal; makeWay: AbortSignal }): Promise<RunResult> {
  const claim = await ports.db.transaction((s) =>
    s.jobs.claim({ hostId: world.hostId, workerId: `w${Math.random()}`, now: world.clock.now(), leaseFor: 1_000_000, except: [] }),
  )
  const operation = registry.get(operationKey(claim?.job.operation ?? '', 1))
  if (claim === undefined || operation === undefined) throw new Error('nothing to run')
  const never = new AbortController().signal
  return await runJob({ claim, operation, ports, signals: { ...signals, cancel: never, report: () => {} } })
}

/** Until the job stands in mid-copy; a run that ends before says why. */
async function copying(run: Promise<RunResult>): Promise<void> {
  let over: string | undefined
  run.then(
    (result) => {
      over = result
    },
    (error: unknown) => {
      over = String(error)
    },
  )
  while (over === undefined) {
    const [job] = await monitor.ask<{ status: string }[]>('query-jobs')
    // QEMU pauses it for moments of its own as well.
    if (held && job?.status === 'paused') return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const [job] = await world.db.read.jobs.list('any', { where: { operation: { is: 'merge-layer' } } })
  throw new Error(`the merge ended before it could be watched: ${over}, ${job?.error?.detail ?? 'without an error'}`)
}

const WAYS = {
  pulled: [fill([0, 1], 0x11), fill([2, 3, 4], 0x12), fill([5, 6, 7, 0, 1], 0x13)],
  committed: [fill([0, 1, 2, 3, 4, 5, 6, 7], 0x11), fill([2, 3, 4], 0x12)],
}

describe.each(Object.entries(WAYS))('a merge that is %s in a running guest', (way, layers) => {
  beforeEach(async () => {
    world = await makeWorld(makeClock())
    started = 0
    held = false
    serverId = await world.server('active')
    volume = await world.volume(layers)
    await world.attach(serverId, volume)
    await boot(world, serverId, [volume.diskId])
    monitor = await openMonitor(socketOf(world, serverId))
    const gone = way === 'pulled' ? 1 : 0
    if (way === 'pulled') await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    await world.enqueue(mergeLayer, {
      layerId: volume.layerIds[gone] ?? '',
      layerIds: volume.layerIds.slice(gone + 1),
      diskIds: [volume.diskId],
      children: 'share',
    })
  })
  afterEach(async () => {
    monitor.close()
    await killGuests(world.dir)
    await world.destroy()
  })

  it('is gone on with, not started over, by the worker after the one that was killed', async () => {
    const first = await incarnate(world, 'honest')
    const stop = new AbortController()
    const run = runOne(slow(first.ports), { stop: stop.signal, makeWay: new AbortController().signal })
    await copying(run)
    stop.abort()
    expect(await run).toBe('lost')
    await first.die()
    const [job] = await monitor.ask<{ id: string }[]>('query-jobs')
    await monitor.ask('block-job-set-speed', { device: job?.id, speed: 0 })
    await monitor.ask('block-job-resume', { device: job?.id })
    world.clock.advance(10)
    const second = await incarnate(world, 'honest')
    expect(await runOne(slow(second.ports), { stop: new AbortController().signal, makeWay: new AbortController().signal })).toBe('done')
    await second.die()
    expect(started).toBe(1)
    monitor.close()
    expect(await judge(world)).toEqual([])
  })

  it('makes way for a snapshot and goes on afterwards', async () => {
    const life = await incarnate(world, 'honest')
    const makeWay = new AbortController()
    const run = runOne(slow(life.ports), { stop: new AbortController().signal, makeWay: makeWay.signal })
    await copying(run)
    makeWay.abort()
    expect(await run).toBe('requeued')
    expect(await monitor.ask('query-jobs')).toEqual([])
    // Whoever it made way for may have to read them: an image is copied by another process.
    for (const layerId of volume.layerIds.slice(0, -1))
      await execute('qemu-img', ['info', '-f', 'qcow2', join(world.pool, `${layerId}.qcow2`)])
    await life.die()
    const snapshotId = await world.snapshot(volume, null, 'creating', serverId)
    world.expected.set(snapshotId, world.expected.get(volume.diskId) ?? new Map())
    const switches = [{ diskId: volume.diskId, layerId: await world.planned() }]
    await world.enqueue(createSnapshot, {
      serverId,
      switches,
      snapshots: [{ snapshotId, diskId: volume.diskId }],
      quiesce: 'none',
      imageId: null,
    })
    monitor.close()
    await drive(world, { operation: 'create-snapshot', fault: { kind: 'none' } })
    expect((await world.db.read.snapshots.find(ANY, snapshotId))?.status).toBe('available')
    expect(await world.db.read.layers.find(ANY, volume.layerIds[way === 'pulled' ? 1 : 0] ?? '')).toBeUndefined()
    expect(await judge(world)).toEqual([])
  })

  it('goes on offline when the guest is lost while it copies', async () => {
    const life = await incarnate(world, 'honest')
    const run = runOne(slow(life.ports), { stop: new AbortController().signal, makeWay: new AbortController().signal })
    await copying(run)
    await killGuests(world.dir)
    await run
    await life.die()
    monitor.close()
    await drive(world, { operation: 'merge-layer', fault: { kind: 'none' } })
    expect(await judge(world)).toEqual([])
  })
})
