/** Memory of server snapshots as the engine kept it, loaded into another QEMU: the firmware's tick counter goes on from its old value. */
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SnapshotKind } from '../../src/domain/server-snapshot.js'
import { ANY } from '../../src/ports/stores.js'
import { launchFromMemory, requireSnapshotMemory } from '../../src/steps/load-memory.js'
import type { Tools } from '../../src/steps/tools.js'
import { drive, killGuests } from '../crash/engine.js'
import { openMonitor } from '../crash/monitor.js'
import { type Incarnation, incarnate, makeClock } from '../crash/ports.js'
import { pair, take } from '../crash/server-snapshot-scenarios.js'
import { socketOf } from '../crash/stage.js'
import { makeWorld, type World } from '../crash/world.js'
import { ticks, ticksBeyond } from '../support/firmware.js'

let world: World
let life: Incarnation

beforeEach(async () => {
  world = await makeWorld(makeClock())
  life = await incarnate(world, 'absent')
})
afterEach(async () => {
  await life.die()
  await killGuests(world.dir)
  await world.destroy()
})

const never = new AbortController().signal
const tools = (): Tools => ({ ...life.ports, stop: never, cancel: never, makeWay: never, report: () => {}, jobId: 'j', learn: () => {} })

/** Over the monitor for people, which serves one at a time. */
async function tell(serverId: string, command: string): Promise<unknown> {
  const monitor = await openMonitor(socketOf(world, serverId))
  return await monitor.ask(command).finally(() => monitor.close())
}

interface Kept {
  readonly serverId: string
  readonly memoryStateId: string
  /** The counter was at least this when it was captured, and at most that. */
  readonly from: number
  readonly to: number
}

/** A server with two disks that was captured by the engine, ran on, and was lost; its disks are those of the snapshot again. */
async function kept(kind: SnapshotKind, vmState: 'active' | 'paused'): Promise<Kept> {
  const server = await pair(world, 'active')
  const { serverId } = server
  const from = await ticksBeyond(world.dir, serverId, 0)
  if (vmState === 'paused') {
    await tell(serverId, 'stop')
    await world.db.transaction((s) => s.servers.update(serverId, { vmState, powerState: 3 }))
  }
  const id = await take(world, server, kind, 'none', true)
  const driven = await drive(world, { operation: 'create-server-snapshot', fault: { kind: 'none' } })
  expect(driven.ended).toBe('done')
  expect(await tell(serverId, 'query-status')).toMatchObject({ status: vmState === 'active' ? 'running' : 'paused' })
  const to = await ticks(world.dir, serverId)
  await tell(serverId, 'cont')
  await ticksBeyond(world.dir, serverId, to + 3)
  await killGuests(world.dir)
  const { read } = world.db
  const [memory] = await read.memoryStates.list(ANY, { where: { serverSnapshotId: { is: id } } })
  for (const { diskId, layerId } of await read.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: id } } }))
    await world.db.transaction((s) => s.disks.update(diskId, { topLayerId: layerId }))
  return { serverId, memoryStateId: memory?.id ?? '', from, to }
}

describe('memory of a server snapshot', () => {
  it.each([
    { kind: 'external', vmState: 'active', format: 'stream' },
    { kind: 'external', vmState: 'paused', format: 'vmstate' },
    { kind: 'internal', vmState: 'active', format: 'tag' },
    { kind: 'internal', vmState: 'paused', format: 'tag' },
  ] as const)('goes on where it was: $kind, of a server that is $vmState', async ({ kind, vmState, format }) => {
    const { serverId, memoryStateId, from, to } = await kept(kind, vmState)
    expect(await world.db.read.memoryStates.find(ANY, memoryStateId)).toMatchObject({ format, status: 'saved' })
    // Twice: what was loaded can be loaded again.
    for (const _ of [1, 2]) {
      await requireSnapshotMemory(tools(), serverId, memoryStateId)
      await launchFromMemory(tools(), serverId, memoryStateId)
      const now = await ticks(world.dir, serverId)
      expect(now).toBeGreaterThanOrEqual(from)
      expect(now).toBeLessThanOrEqual(to)
      const guest = await life.ports.hypervisor.find(serverId)
      await guest?.resume()
      await ticksBeyond(world.dir, serverId, now)
      expect((await guest?.blocks.nodes())?.map(({ node }) => node).filter((node) => !/^[qf]-/.test(node))).toEqual([])
      await life.ports.hypervisor.kill(serverId)
    }
    expect((await readdir(world.pool)).filter((name) => /part|scratch/.test(name))).toEqual([])
  })

  it.each(['active', 'paused'] as const)('is refused when a bit of it was turned, of a server that was %s', async (vmState) => {
    const { serverId, memoryStateId } = await kept('external', vmState)
    const row = await world.db.read.memoryStates.find(ANY, memoryStateId)
    const file = await open(join(world.pool, row?.fileName ?? ''), 'r+')
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, 5000)
    byte[0] = (byte[0] ?? 0) ^ 1
    await file.write(byte, 0, 1, 5000)
    await file.close()
    await expect(requireSnapshotMemory(tools(), serverId, memoryStateId)).rejects.toThrow(
      'The memory of the snapshot cannot be loaded: its file is not as it was saved. Its disks alone can be gone back to.',
    )
  })

  it('is refused for a server that is another machine now, and where it was given up', async () => {
    const { serverId, memoryStateId } = await kept('internal', 'active')
    const server = await world.db.read.servers.find(ANY, serverId)
    if (server === undefined) throw new Error('no server')
    await world.db.transaction((s) => s.servers.update(serverId, { flavor: { ...server.flavor, ramMib: 64 } }))
    await expect(requireSnapshotMemory(tools(), serverId, memoryStateId)).rejects.toThrow('the memory size in MiB is 64 now and was 32')
    await expect(requireSnapshotMemory(tools(), serverId, serverId)).rejects.toThrow('it is not there')
  })
})
