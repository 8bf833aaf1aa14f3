import { execFile } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { deviceName, shortId } from '../../src/domain/names.js'
import * as ops from '../../src/domain/operations.js'
import type { ServerTask, VmState } from '../../src/domain/server.js'
import { guestDisk } from '../../src/steps/guest-spec.js'
import type { Content } from './images.js'
import { openMonitor } from './monitor.js'
import { incarnate } from './ports.js'
import type { Volumed, World } from './world.js'

const run = promisify(execFile)

export interface Scenario {
  readonly name: string
  readonly operation: string
  readonly live: boolean
  readonly unplugTimeoutMs?: number
  /** How its job ends when nothing strikes it; `done` where that is not said. */
  readonly ends?: 'done' | 'failed'
  /** Disks a live guest goes on writing to while the job runs. */
  build(world: World): Promise<{ readonly writes?: { serverId: string; diskId: string }; readonly afterwards?: () => Promise<void> }>
}

export const BASE: Content = new Map([
  [0, 0x11],
  [1, 0x12],
  [2, 0x13],
])
export const TOP: Content = new Map([
  [1, 0x21],
  [3, 0x22],
])
/** More than any scenario writes above it: so it is the child that goes down. */
export const HEAVY: Content = new Map([0, 1, 2, 3, 4, 5, 6, 7].map((block) => [block, 0x41 + block]))
export const SMALL: Content = new Map([[4, 0x31]])
export const merged = (...layers: Content[]): Content => new Map(layers.flatMap((one) => [...one]))

export const socketOf = (world: World, serverId: string): string => join(world.dir, 'run', shortId(serverId), 'people.sock')

/** Starts the guest on what the tables say, running. */
export async function boot(world: World, serverId: string, diskIds: readonly string[]): Promise<void> {
  const { ports, die } = await incarnate(world, 'honest')
  const disks = await Promise.all(diskIds.map((diskId) => guestDisk(world.db.read, diskId)))
  await ports.hypervisor.launch({ serverId, vcpus: 1, ramMib: 32, disks })
  await (await ports.hypervisor.find(serverId))?.resume()
  await die()
}

/** A server with a volume of the given layers plugged in. */
export async function served(
  world: World,
  state: VmState,
  layers: readonly Content[],
  task: ServerTask | null = null,
): Promise<{ serverId: string; volume: Volumed }> {
  const serverId = await world.server(state, task)
  const volume = await world.volume(layers)
  await world.attach(serverId, volume)
  if (state === 'active' || state === 'paused') await boot(world, serverId, [volume.diskId])
  if (state === 'paused') await pause(world, serverId)
  return { serverId, volume }
}

export async function pause(world: World, serverId: string): Promise<void> {
  const monitor = await openMonitor(socketOf(world, serverId))
  await monitor.ask('stop')
  monitor.close()
}

/**
 * A boot sector that gives every device back it is asked for: at each tick of the timer it reads the slots to be ejected
 * from the hot-plug controller of QEMU's `pc` machine (port 0xae04) and ejects them (port 0xae08).
 */
const LETS_GO = Buffer.from('fbf4ba04ae66ed6685c074f5ba08ae66efebee', 'hex')

/** A root disk to boot the obliging guest from; its content is nobody's promise. */
export async function obligingRoot(world: World, serverId: string): Promise<string> {
  const { diskId, layerIds } = await world.rootOf(serverId, [new Map()])
  world.expected.delete(diskId)
  const sector = Buffer.alloc(512)
  LETS_GO.copy(sector)
  sector.writeUInt16LE(0xaa55, 510)
  const path = join(world.dir, 'sector')
  await writeFile(path, sector)
  await run('qemu-io', ['-f', 'qcow2', '-c', `write -q -s ${path} 0 512`, join(world.pool, `${layerIds[0]}.qcow2`)])
  await rm(path)
  return diskId
}

export const writing = (serverId: string, volume: Volumed) => ({ writes: { serverId, diskId: volume.diskId } })

export async function snapshotOf(
  world: World,
  volume: Volumed,
  serverId: string | null,
  quiesce: 'none' | 'required' = 'none',
  imageId: string | null = null,
): Promise<void> {
  const snapshotId = await world.snapshot(volume, null, 'creating', serverId)
  world.expected.set(snapshotId, world.expected.get(volume.diskId) ?? new Map())
  const switches = [{ diskId: volume.diskId, layerId: await world.planned() }]
  await world.enqueue(ops.createSnapshot, {
    serverId,
    switches,
    snapshots: [{ snapshotId, diskId: volume.diskId }],
    quiesce,
    imageId,
  })
}

export async function merge(world: World, volume: Volumed, gone: number, children: 'share' | 'each' = 'share'): Promise<void> {
  const layerId = volume.layerIds[gone] ?? ''
  await world.enqueue(ops.mergeLayer, { layerId, layerIds: volume.layerIds.slice(gone + 1), diskIds: [volume.diskId], children })
}

export const scenario = (
  operation: string,
  what: string,
  live: boolean,
  build: Scenario['build'],
  more: Pick<Scenario, 'unplugTimeoutMs' | 'ends'> = {},
): Scenario => ({ name: `${operation}, ${what}`, operation, live, build, ...more })

/** The moment of a promise is the pivot: what the guest writes after it belongs to the disk alone. */
export const deviceOf = (diskId: string): string => deviceName(diskId)
