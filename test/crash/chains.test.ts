/** Chains that are changed while something comes in between: a wish to stop, another limit, no room; and those that get too long. */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { pullChain } from '../../src/domain/chain-operations.js'
import { blockJobName } from '../../src/domain/names.js'
import { createVolume, deleteSnapshot, extendVolume } from '../../src/domain/operations.js'
import { operationKey, registry } from '../../src/operations/registry.js'
import { ANY } from '../../src/ports/stores.js'
import type { Tools } from '../../src/steps/tools.js'
import { runJob } from '../../src/worker/runner.js'
import { commit, copyAway, copyKept, pull } from './chain-scenarios.js'
import { drive, killGuests } from './engine.js'
import { type Monitor, openMonitor } from './monitor.js'
import { judge } from './oracle.js'
import { incarnate, makeClock } from './ports.js'
import { BASE, HEAVY, merged, SMALL, served, snapshotOf, socketOf, TOP } from './stage.js'
import { DISK_MIB, MIB, makeWorld, type Volumed, type World } from './world.js'

let world: World
beforeEach(async () => {
  world = await makeWorld(makeClock())
})
afterEach(async () => {
  await killGuests(world.dir)
  await world.destroy()
})

const jobs = async (operation: string) => await world.db.read.jobs.list(ANY, { where: { operation: { is: operation } } })
const chainOf = async ({ diskId }: Volumed): Promise<string[]> => {
  const disk = await world.db.read.disks.find(ANY, diskId)
  return (await world.db.read.layers.chain(disk?.topLayerId ?? '')).map((layer) => layer.id)
}

interface Asked {
  readonly cancel: AbortController
  readonly makeWay: AbortController
}

/** Runs the job until its block job is seen to copy, then does something about it. Slowed down so far that it would not end. */
async function amid(
  live: { serverId: string; blockJob: string } | undefined,
  act: (asked: Asked, monitor?: Monitor) => Promise<void>,
): Promise<string> {
  const life = await incarnate(world, 'honest')
  const [stop, cancel, makeWay] = [new AbortController(), new AbortController(), new AbortController()]
  const claim = await life.ports.db.transaction((s) =>
    s.jobs.claim({ hostId: world.hostId, workerId: 'w', now: world.clock.now(), leaseFor: 10_000_000, except: [] }),
  )
  const operation = registry.get(operationKey(claim?.job.operation ?? '', 1))
  if (claim === undefined || operation === undefined) throw new Error('nothing to run')
  let seen = (): void => {}
  const copying = new Promise<void>((resolve) => {
    seen = resolve
  })
  const signals = { stop: stop.signal, cancel: cancel.signal, makeWay: makeWay.signal, report: () => seen() }
  const run = runJob({ claim, operation, ports: life.ports as unknown as Tools, signals })
  await Promise.race([copying, run])
  if (live !== undefined) {
    const monitor = await openMonitor(socketOf(world, live.serverId))
    await monitor.ask('block-job-pause', { device: live.blockJob })
    await act({ cancel, makeWay }, monitor)
    monitor.close()
  } else await act({ cancel, makeWay })
  const result = await run
  await life.die()
  return result
}

const slow = async (): Promise<void> => {
  for (const job of await world.db.read.jobs.list(ANY)) await world.db.transaction((stores) => stores.jobs.limit(ANY, job.id, 65_536))
}

const LAYERS = [BASE, HEAVY, SMALL, TOP]
const WAYS = {
  pull: async (volume: Volumed) => {
    await pull(world, volume, 0)
    return blockJobName('merge', volume.layerIds[3] ?? '')
  },
  commit: async (volume: Volumed) => {
    await commit(world, volume, 3, 1)
    return blockJobName('merge', volume.layerIds[1] ?? '')
  },
  'commit of an inner layer': async (volume: Volumed) => {
    await commit(world, volume, 2, 1)
    return blockJobName('merge', volume.layerIds[1] ?? '')
  },
  'copy that the disk moves to': async (volume: Volumed) => blockJobName('copy', await copyAway(world, volume, 'qcow2')),
} as const

describe.each(Object.entries(WAYS))('a %s in a running guest', { timeout: 60_000 }, (_, begin) => {
  it('is cancelled while it copies, and nothing but its layers in flux is changed', async () => {
    const { serverId, volume } = await served(world, 'active', LAYERS)
    const blockJob = await begin(volume)
    await slow()
    const before = await chainOf(volume)
    expect(await amid({ serverId, blockJob }, async ({ cancel }) => cancel.abort())).toBe('cancelled')
    expect(await chainOf(volume)).toEqual(before)
    const monitor = await openMonitor(socketOf(world, serverId))
    expect(await monitor.ask('query-jobs')).toEqual([])
    expect(await monitor.ask('query-status')).toMatchObject({ status: 'running' })
    monitor.close()
    await drive(world, { operation: 'merge-layer', fault: { kind: 'none' } })
    expect(await judge(world)).toEqual([])
  })

  it('makes way for a snapshot, and goes on to its end afterwards', async () => {
    const { serverId, volume } = await served(world, 'active', LAYERS)
    const blockJob = await begin(volume)
    await slow()
    expect(await amid({ serverId, blockJob }, async ({ makeWay }) => makeWay.abort())).toBe('requeued')
    await snapshotOf(world, volume, serverId)
    const [job] = await world.db.read.jobs.list(ANY, { where: { preemptible: { is: true } } })
    await world.db.transaction((stores) => stores.jobs.limit(ANY, job?.id ?? '', 0))
    const { ended } = await drive(world, { operation: job?.operation ?? '', fault: { kind: 'none' } })
    expect(ended).toBe('done')
    expect(await judge(world)).toEqual([])
  })
})

const MOVES = {
  'copy-disk': { step: 'copy-data', begin: WAYS['copy that the disk moves to'] },
  'commit-chain': { step: 'commit-data', begin: WAYS.commit },
}

describe.each(Object.entries(MOVES))('a guest whose disk moves by %s', { timeout: 60_000 }, (operation, { step, begin }) => {
  it('stands still until the tables say where to, so that nothing is lost if QEMU and the worker die then', async () => {
    const { serverId, volume } = await served(world, 'active', LAYERS)
    await begin(volume)
    const states: string[] = []
    const atGap = async (gap: string): Promise<void> => {
      if (!gap.startsWith(`${step}:`) || gap.endsWith('before-apply') || states.length === 2) return
      const monitor = await openMonitor(socketOf(world, serverId))
      states.push((await monitor.ask<{ status: string }>('query-status')).status)
      monitor.close()
      if (gap.endsWith('before-done')) await killGuests(world.dir)
    }
    await drive(world, { operation, fault: { kind: 'killed', gap: `${step}:before-done` }, atGap })
    expect(states).toEqual(['paused', 'paused'])
    expect((await jobs(operation))[0]?.state).toBe('done')
    expect(await judge(world)).toEqual([])
  })
})

describe('a snapshot whose layer goes down into one below', { timeout: 60_000 }, () => {
  it('is what a volume stands on that was asked for in the last moment', async () => {
    const volume = await world.volume([BASE, SMALL, TOP])
    const parentLayerId = volume.layerIds[1] ?? ''
    world.expected.set(await world.snapshot(volume, parentLayerId, 'available'), merged(BASE, SMALL))
    await commit(world, volume, 1, 0)
    const made = await world.volume([])
    const virtualSize = DISK_MIB * MIB
    await drive(world, {
      operation: 'commit-chain',
      fault: { kind: 'none' },
      async atGap(gap) {
        if (gap !== 'commit-data:before-done') return
        const layerId = await world.planned({ parentId: parentLayerId })
        world.expected.set(made.diskId, merged(BASE, SMALL))
        await world.db.transaction((stores) => stores.volumes.update(made.volumeId, { status: 'creating' }))
        const layer = { diskId: made.diskId, layerId, parentLayerId, virtualSize }
        await world.enqueue(createVolume, { volumeId: made.volumeId, layer })
      },
    })
    expect(await jobs('create-volume')).toMatchObject([{ state: 'done' }])
    expect((await chainOf(made)).slice(1)).toEqual([volume.layerIds[0]])
    expect(await judge(world)).toEqual([])
  })
})

describe('a copy of a disk at rest', { timeout: 60_000 }, () => {
  it('is cancelled while it copies, and leaves no file and no process', async () => {
    const volume = await world.volume([HEAVY, TOP])
    await copyAway(world, volume, 'raw')
    await slow()
    const files = await readdir(world.pool)
    expect(await amid(undefined, async ({ cancel }) => cancel.abort())).toBe('cancelled')
    expect(await readdir(world.pool)).toEqual(files)
    await drive(world, { operation: 'merge-layer', fault: { kind: 'none' } })
    expect(await judge(world)).toEqual([])
  })

  it('goes on in another pool, and so does what stands on it', async () => {
    const volume = await world.volume([HEAVY, TOP])
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    const path = join(world.dir, 'pools/other')
    await mkdir(path)
    const poolId = '5a1c9b52-5e0e-4f4d-9d4c-3e6d5b3c2a78'
    const pool = { id: poolId, hostId: world.hostId, name: 'other', path, isDefault: false, createdAt: 1 }
    await world.db.transaction((stores) => stores.pools.insert(pool))
    const layerId = await copyAway(world, volume, 'qcow2')
    await world.db.transaction((stores) => stores.layers.update(layerId, { poolId }))
    await drive(world, { operation: 'copy-disk', fault: { kind: 'none' } })
    expect(await world.db.read.disks.find(ANY, volume.diskId)).toMatchObject({ poolId, topLayerId: layerId })
    expect(await readdir(path)).toEqual([`${layerId}.qcow2`])
    // The snapshot keeps its own; the layer that was the top is gone.
    expect(await readdir(world.pool)).toEqual([`${volume.layerIds[0]}.qcow2`])
  })

  it('ends before it begins where there is no room for what it may have to write, and says so', async () => {
    const volume = await world.volume([HEAVY, TOP])
    const copy = await copyKept(world, volume, 'qcow2')
    const life = await incarnate(world, 'honest')
    const files = { ...life.ports.files, free: async () => 3 * 1024 ** 2 }
    const claim = await life.ports.db.transaction((s) =>
      s.jobs.claim({ hostId: world.hostId, workerId: 'w', now: world.clock.now(), leaseFor: 10_000_000, except: [] }),
    )
    const operation = registry.get(operationKey('copy-disk', 1))
    if (claim === undefined || operation === undefined) throw new Error('nothing to run')
    const never = new AbortController().signal
    const signals = { stop: never, cancel: never, makeWay: never, report: () => {} }
    expect(await runJob({ claim, operation, ports: { ...life.ports, files }, signals })).toBe('failed')
    await life.die()
    const [job] = await jobs('copy-disk')
    expect(job?.error?.message).toBe('Up to 8 MiB may have to be written, and the storage pool has 3 MiB left.')
    expect(await world.db.read.volumes.find(ANY, copy.volumeId)).toMatchObject({ status: 'error' })
    await drive(world, { operation: 'merge-layer', fault: { kind: 'none' } })
    expect(await judge(world)).toEqual([])
  })
})

describe('a disk that moved to a raw file', { timeout: 60_000 }, () => {
  it('grows, takes a snapshot and loses it again, as any other', async () => {
    const { serverId, volume } = await served(world, 'active', [HEAVY, TOP])
    const layerId = await copyAway(world, volume, 'raw')
    await drive(world, { operation: 'copy-disk', fault: { kind: 'none' } })
    const virtualSize = 2 * DISK_MIB * MIB
    await world.db.transaction((stores) => stores.volumes.update(volume.volumeId, { status: 'extending' }))
    const grown = { volumeId: volume.volumeId, diskId: volume.diskId, serverId, virtualSize, sizeGib: 1 }
    await world.enqueue(extendVolume, grown)
    await snapshotOf(world, volume, serverId)
    await drive(world, { operation: 'create-snapshot', fault: { kind: 'none' } })
    expect((await chainOf(volume)).at(-1)).toBe(layerId)
    expect(await world.db.read.layers.find(ANY, layerId)).toMatchObject({ format: 'raw', state: 'sealed', virtualSize })
    const [snapshot] = await world.db.read.snapshots.list(ANY, { where: { projectId: { is: world.projectId } } })
    await world.db.transaction((stores) => stores.snapshots.update(snapshot?.id ?? '', { status: 'deleting' }))
    await world.enqueue(deleteSnapshot, { snapshotId: snapshot?.id ?? '', children: 'share' })
    await drive(world, { operation: 'merge-layer', fault: { kind: 'none' } })
    expect(await chainOf(volume)).toHaveLength(1)
    expect(await judge(world)).toEqual([])
  })
})

describe('a limit', { timeout: 60_000 }, () => {
  it('is followed by a block job that runs', async () => {
    const { serverId, volume } = await served(world, 'active', LAYERS)
    const blockJob = await WAYS.pull(volume)
    await slow()
    const [job] = await jobs('pull-chain')
    const result = await amid({ serverId, blockJob }, async (_, monitor) => {
      const speed = async (): Promise<number | undefined> => (await monitor?.ask<{ speed: number }[]>('query-block-jobs'))?.[0]?.speed
      expect(await speed()).toBe(65_536)
      await world.db.transaction((stores) => stores.jobs.limit(ANY, job?.id ?? '', 1_000_000_000))
      while ((await speed()) === 65_536) await new Promise((resolve) => setTimeout(resolve, 20))
      expect(await speed()).toBe(1_000_000_000)
      await monitor?.ask('block-job-resume', { device: blockJob })
    })
    expect(result).toBe('done')
  })
})

describe('a chain that gets longer than its policy wants', { timeout: 60_000 }, () => {
  const policy = async (softDepth: number): Promise<void> => {
    const row = { id: world.projectId, projectId: world.projectId, softDepth, hardDepth: 32, bytesPerSecond: 0, createdAt: 1 }
    await world.db.transaction((stores) => stores.chainPolicies.insert(row))
  }

  it('is shortened after the snapshot that made it so, and every promise stays', async () => {
    await policy(4)
    const { serverId, volume } = await served(world, 'active', LAYERS)
    for (const [index, content] of [BASE, merged(BASE, HEAVY), merged(BASE, HEAVY, SMALL)].entries())
      world.expected.set(await world.snapshot(volume, volume.layerIds[index] ?? '', 'available'), content)
    await snapshotOf(world, volume, serverId)
    await drive(world, { operation: 'pull-chain', fault: { kind: 'none' }, reconciles: false })
    const [job] = await jobs(pullChain.name)
    expect(job).toMatchObject({ state: 'done', input: { baseLayerId: volume.layerIds[1] } })
    expect((await chainOf(volume)).slice(1)).toEqual([volume.layerIds[1], volume.layerIds[0]])
    expect(await judge(world)).toEqual([])
  })

  it('is found by the reconciler where it was so before', async () => {
    const volume = await world.volume(LAYERS)
    for (const [index, content] of [BASE, merged(BASE, HEAVY), merged(BASE, HEAVY, SMALL)].entries())
      world.expected.set(await world.snapshot(volume, volume.layerIds[index] ?? '', 'available'), content)
    await policy(2)
    await drive(world, { operation: 'pull-chain', fault: { kind: 'none' } })
    expect((await chainOf(volume)).slice(1)).toEqual([volume.layerIds[0]])
    expect(await judge(world)).toEqual([])
  })
})
