/** Real worker processes on real disks: killed by the kernel, stopped past their lease, or two at once. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSnapshot, mergeLayer } from '../../src/domain/operations.js'
import { registry } from '../../src/operations/registry.js'
import { ANY } from '../../src/ports/stores.js'
import { createLocalDoorbell } from '../../src/worker/doorbell.js'
import { endProcess } from '../../src/worker/processes.js'
import { createWorker, type WorkerOptions, type WorkerProcess } from '../../src/worker/worker.js'
import { killGuests } from './engine.js'
import { judge } from './oracle.js'
import { type Incarnation, incarnate, makeClock } from './ports.js'
import { boot } from './stage.js'
import { makeWorld, type Volumed, type World } from './world.js'

const clock = {
  now: () => Date.now() * 1000,
  monotonic: () => Math.round(performance.now() * 1000),
  sleep: (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis)),
  advance: () => {},
}
const quiet = { info: () => {}, warn: () => {}, error: () => {} }

let world: World
let volume: Volumed
const children: ChildProcess[] = []
const lives: { worker: WorkerProcess; life: Incarnation }[] = []

beforeEach(async () => {
  world = await makeWorld(makeClock())
  volume = await world.volume([new Map([[0, 0x11]])])
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const { worker, life } of lives.splice(0)) {
    await worker.stop()
    await life.die()
  }
  await killGuests(world.dir)
  await world.destroy()
})

const POLL_MS = 50

async function child(gap: string, signal: string): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('./child.ts', import.meta.url))
  const started = spawn(process.execPath, ['--import', 'tsx', program, world.dir, world.url, world.hostId, gap, signal], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(started)
  let said = ''
  for await (const chunk of started.stdout) {
    said += String(chunk)
    if (said.includes(`at ${gap}`)) break
  }
  return started
}

async function work(
  more: Partial<WorkerOptions> = {},
  changed: (ports: WorkerOptions['ports']) => WorkerOptions['ports'] = (ports) => ports,
): Promise<WorkerProcess> {
  const life = await incarnate({ ...world, clock }, 'honest')
  const doorbell = createLocalDoorbell()
  const workerId = `w-${lives.length}-${process.pid}`
  const worker = createWorker({
    ports: changed(life.ports),
    registry,
    workerId,
    doorbell,
    log: quiet,
    leaseMs: 3000,
    pollMs: POLL_MS,
    ...more,
  })
  lives.push({ worker, life })
  await worker.start()
  return worker
}

async function snapshot(serverId: string | null): Promise<{ snapshotId: string; jobId: string }> {
  const snapshotId = await world.snapshot(volume, null, 'creating', serverId)
  world.expected.set(snapshotId, world.expected.get(volume.diskId) ?? new Map())
  const switches = [{ diskId: volume.diskId, layerId: await world.planned() }]
  const input = { serverId, switches, snapshots: [{ snapshotId, diskId: volume.diskId }], quiesce: 'none' as const, imageId: null }
  return { snapshotId, jobId: await world.enqueue(createSnapshot, input) }
}

async function ended(jobId: string): Promise<string> {
  for (;;) {
    const state = (await world.db.read.jobs.find(ANY, jobId))?.state ?? 'gone'
    if (!['queued', 'running', 'undoing'].includes(state)) return state
    await clock.sleep(10)
  }
}

/** Its n-th claim is committed, and known to the claimer only when most of the lease is over. */
function slowToClaim(jobId: string, nth: number) {
  let slow = true
  return (ports: WorkerOptions['ports']): WorkerOptions['ports'] => ({
    ...ports,
    db: {
      ...ports.db,
      transaction: async (run) => {
        const answer = await ports.db.transaction(run)
        if (!slow || (await world.db.read.jobs.find(ANY, jobId))?.attempts !== nth) return answer
        slow = false
        await clock.sleep(500)
        return answer
      },
    },
  })
}

async function running(): Promise<string> {
  const serverId = await world.server('active')
  await world.attach(serverId, volume)
  await boot(world, serverId, [volume.diskId])
  return serverId
}

describe('a worker process', { timeout: 120_000 }, () => {
  it.each(['create-layers:after-apply', 'switch-top-layers:after-apply', 'before-settle'])(
    'killed at %s is followed by one that finishes its job, without waiting for the lease',
    async (gap) => {
      const { jobId } = await snapshot(await running())
      const killed = await child(gap, 'SIGKILL')
      if (killed.exitCode === null && killed.signalCode === null) await once(killed, 'exit')
      await work()
      expect(await ended(jobId)).toBe('done')
      expect(await judge(world)).toEqual([])
    },
  )

  it('stopped past its lease is ended by its successor before the job is touched', async () => {
    const { jobId } = await snapshot(await running())
    const stopped = await child('switch-top-layers:before-apply', 'SIGSTOP')
    await work()
    expect(await ended(jobId)).toBe('done')
    if (stopped.exitCode === null && stopped.signalCode === null) await once(stopped, 'exit')
    expect(stopped.signalCode).toBe('SIGKILL')
    expect(await judge(world)).toEqual([])
  })

  it('that was stopped, lost its lease and goes on has no effect', async () => {
    const { jobId } = await snapshot(null)
    const stopped = await child('before-settle', 'SIGSTOP')
    await work({ endPredecessor: async () => {} })
    expect(await ended(jobId)).toBe('done')
    const before = await world.db.read.events.count(ANY)
    stopped.kill('SIGCONT')
    await clock.sleep(300)
    stopped.kill('SIGKILL')
    expect(await world.db.read.events.count(ANY)).toBe(before)
    expect(await judge(world)).toEqual([])
  })

  it('runs nothing on a claim that took as long as its lease', async () => {
    const { jobId } = await snapshot(null)
    await work({ leaseMs: 600 }, slowToClaim(jobId, 1))
    expect(await ended(jobId)).toBe('done')
    expect((await world.db.read.jobs.find(ANY, jobId))?.attempts).toBe(2)
    expect(await judge(world)).toEqual([])
  })

  it('ends the process it takes a job from also when its first claim of that job came to nothing', async () => {
    const { jobId } = await snapshot(null)
    const stopped = await child('before-settle', 'SIGSTOP')
    await work({ leaseMs: 600 }, slowToClaim(jobId, 2))
    expect(await ended(jobId)).toBe('done')
    expect((await world.db.read.jobs.find(ANY, jobId))?.attempts).toBe(3)
    if (stopped.exitCode === null && stopped.signalCode === null) await once(stopped, 'exit')
    expect(stopped.signalCode).toBe('SIGKILL')
    expect(await judge(world)).toEqual([])
  })

  it('takes a job up again that it had to leave because the database was away', async () => {
    const { jobId } = await snapshot(null)
    let away = false
    const gap: WorkerOptions['gap'] = async (job, point) => {
      away ||= point === 'before-settle' && job.attempts === 1
    }
    const back: WorkerOptions['log'] = { ...quiet, error: () => (away = false) }
    await work({ gap, log: back }, (ports) => ({
      ...ports,
      db: { ...ports.db, transaction: async (run) => (away ? Promise.reject(new Error('no database')) : await ports.db.transaction(run)) },
    }))
    expect(await ended(jobId)).toBe('done')
    expect((await world.db.read.jobs.find(ANY, jobId))?.attempts).toBe(2)
    expect(await judge(world)).toEqual([])
  })

  it('leaves nothing to be waited for when it is stopped in the middle of a job', async () => {
    const { jobId } = await snapshot(null)
    let reached = (): void => {}
    const there = new Promise<void>((resolve) => {
      reached = resolve
    })
    let goOn = (): void => {}
    const held = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const first = await work({
      gap: async (_, point) => {
        if (point !== 'create-layers:before-apply') return
        reached()
        await held
      },
    })
    await there
    const stopping = first.stop()
    goOn()
    await stopping
    expect((await world.db.read.jobs.find(ANY, jobId))?.leaseExpiresAt).toBe(0)
    await work()
    expect(await ended(jobId)).toBe('done')
    expect(await judge(world)).toEqual([])
  })

  it('does not touch a job until the process it takes it from is gone, however often that fails', async () => {
    const { jobId } = await snapshot(await running())
    const stopped = await child('switch-top-layers:before-apply', 'SIGSTOP')
    let tries = 0
    await work({
      endPredecessor: async (worker) => {
        tries++
        if (tries < 3) throw new Error('it does not end')
        await endProcess({ ...worker })
      },
    })
    expect(await ended(jobId)).toBe('done')
    expect(tries).toBe(3)
    if (stopped.exitCode === null && stopped.signalCode === null) await once(stopped, 'exit')
    expect(stopped.signalCode).toBe('SIGKILL')
    expect(await judge(world)).toEqual([])
  })

  it('ends also the worker before the last, where that one went before it could', async () => {
    const { jobId } = await snapshot(await running())
    const stopped = await child('switch-top-layers:before-apply', 'SIGSTOP')
    let tried = (): void => {}
    const trying = new Promise<void>((resolve) => {
      tried = resolve
    })
    const second = await work({
      endPredecessor: async () => {
        tried()
        throw new Error('it does not end')
      },
    })
    await trying
    await second.stop()
    await work()
    expect(await ended(jobId)).toBe('done')
    if (stopped.exitCode === null && stopped.signalCode === null) await once(stopped, 'exit')
    expect(stopped.signalCode).toBe('SIGKILL')
    expect(await judge(world)).toEqual([])
  })

  it('shares a database with another, and no job is run by both', async () => {
    const ran: string[] = []
    const onEnd: WorkerOptions['onEnd'] = (job) => void ran.push(job.id)
    const asked: string[] = []
    for (let i = 0; i < 10; i++) {
      volume = await world.volume([new Map([[0, 0x20 + i]])])
      asked.push((await snapshot(null)).jobId)
    }
    await work({ onEnd })
    await work({ onEnd })
    for (const jobId of asked) expect(await ended(jobId)).toBe('done')
    for (const { worker } of lives) await worker.drain(5000)
    expect(ran.toSorted()).toEqual(asked.toSorted())
    expect(await judge(world)).toEqual([])
  })

  it('shares the guests of its host with another: whoever claims it, a snapshot of a running server is taken', async () => {
    const serverId = await running()
    const took = new Map<number, number>()
    for (const one of [0, 1]) await work({ onEnd: () => void took.set(one, 1 + (took.get(one) ?? 0)) })
    for (let taken = 0; took.size < 2 || taken < 6; taken++) {
      if (taken === 40) throw new Error('one worker did it all')
      // Whoever has just ended a job looks for the next at once: without a pause it would take them all.
      await clock.sleep(Math.random() * POLL_MS)
      const { jobId, snapshotId } = await snapshot(serverId)
      expect(await ended(jobId)).toBe('done')
      expect(await world.db.read.snapshots.find(ANY, snapshotId)).toMatchObject({ status: 'available' })
    }
    expect(await judge(world)).toEqual([])
  })

  it('that is stopped while it keeps a guest’s monitor keeps nobody else from that guest', async () => {
    const serverId = await running()
    const first = await snapshot(serverId)
    const stopped = await child('after-settle', 'SIGSTOP')
    expect(await ended(first.jobId)).toBe('done')
    await work()
    const { jobId } = await snapshot(serverId)
    expect(await ended(jobId)).toBe('done')
    // It has no job that could be taken from it, so it is let be.
    expect(stopped.signalCode).toBeNull()
    expect(await judge(world)).toEqual([])
  })

  it('lets a merge make way for a snapshot asked for while it runs', async () => {
    const chain = [
      new Map([[0, 1]]),
      new Map([[1, 2]]),
      new Map([
        [2, 3],
        [3, 3],
      ]),
    ]
    volume = await world.volume(chain)
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    await running()
    const input = {
      layerId: volume.layerIds[1] ?? '',
      layerIds: volume.layerIds.slice(2),
      diskIds: [volume.diskId],
      children: 'share' as const,
    }
    const merge = await world.enqueue(mergeLayer, input)
    let asked: Promise<{ jobId: string }> | undefined
    const gap: WorkerOptions['gap'] = async (job, point) => {
      if (job.id === merge && point === 'move-data:before-apply') asked ??= snapshot(null)
      await asked
    }
    await work({ gap })
    expect(await ended(merge)).toBe('done')
    expect(await ended((await asked)?.jobId ?? '')).toBe('done')
    for (const { worker } of lives) await worker.drain(5000)
    expect(await judge(world)).toEqual([])
  })
})
