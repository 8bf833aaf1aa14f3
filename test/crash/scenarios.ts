/**
 * For every operation a world in which it is asked for. `live` ones have a running guest (QEMU without an operating
 * system) whose disk is written before and during the job. Each says what the disks and promises must read as, whether
 * the job succeeds or is undone: what was there stays, and what was promised is exactly its moment.
 */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { deviceName, shortId } from '../../src/domain/names.js'
import * as ops from '../../src/domain/operations.js'
import type { ServerTask, VmState } from '../../src/domain/server.js'
import { guestDisk } from '../../src/steps/guest-spec.js'
import { openMonitor } from './monitor.js'
import { incarnate } from './ports.js'
import { type Content, DISK_MIB, MIB, makeImage, type Volumed, type World } from './world.js'

export interface Scenario {
  readonly name: string
  readonly operation: string
  readonly live: boolean
  /** Disks a live guest goes on writing to while the job runs. */
  build(world: World): Promise<{ readonly writes?: { serverId: string; diskId: string } }>
}

const BASE: Content = new Map([
  [0, 0x11],
  [1, 0x12],
  [2, 0x13],
])
const TOP: Content = new Map([
  [1, 0x21],
  [3, 0x22],
])
/** More than any scenario writes above it: so it is the child that goes down. */
const HEAVY: Content = new Map([0, 1, 2, 3, 4, 5, 6, 7].map((block) => [block, 0x41 + block]))
const SMALL: Content = new Map([[4, 0x31]])
const merged = (...layers: Content[]): Content => new Map(layers.flatMap((one) => [...one]))

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
async function served(
  world: World,
  state: VmState,
  layers: readonly Content[],
  task: ServerTask | null = null,
): Promise<{ serverId: string; volume: Volumed }> {
  const serverId = await world.server(state, task)
  const volume = await world.volume(layers)
  await world.attach(serverId, volume)
  if (state === 'active' || state === 'paused') await boot(world, serverId, [volume.diskId])
  if (state === 'paused') {
    const monitor = await openMonitor(socketOf(world, serverId))
    await monitor.ask('stop')
    monitor.close()
  }
  return { serverId, volume }
}

const writing = (serverId: string, volume: Volumed) => ({ writes: { serverId, diskId: volume.diskId } })

async function snapshotOf(world: World, volume: Volumed, serverId: string | null, quiesce: 'none' | 'required' = 'none'): Promise<void> {
  const snapshotId = await world.snapshot(volume, null, 'creating', serverId)
  world.expected.set(snapshotId, world.expected.get(volume.diskId) ?? new Map())
  const switches = [{ diskId: volume.diskId, layerId: await world.planned() }]
  await world.enqueue(ops.createSnapshot, {
    serverId,
    switches,
    snapshots: [{ snapshotId, diskId: volume.diskId }],
    quiesce,
    imageId: null,
  })
}

async function merge(world: World, volume: Volumed, gone: number, children: 'share' | 'each' = 'share'): Promise<void> {
  const layerId = volume.layerIds[gone] ?? ''
  await world.enqueue(ops.mergeLayer, { layerId, layerIds: volume.layerIds.slice(gone + 1), diskIds: [volume.diskId], children })
}

const scenario = (operation: string, what: string, live: boolean, build: Scenario['build']): Scenario => ({
  name: `${operation}, ${what}`,
  operation,
  live,
  build,
})

const onServer = (
  name: string,
  what: string,
  state: VmState,
  task: ServerTask | null,
  enqueue: (world: World, input: ops.ServerInput) => Promise<unknown>,
): Scenario =>
  scenario(name, what, state === 'active' || state === 'paused', async (world) => {
    const { serverId, volume } = await served(world, state, [BASE, TOP], task)
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    await enqueue(world, { serverId, diskIds: [volume.diskId] })
    return {}
  })

export const SCENARIOS: readonly Scenario[] = [
  scenario('create-snapshot', 'live', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE])
    await snapshotOf(world, volume, serverId)
    return writing(serverId, volume)
  }),
  scenario('create-snapshot', 'live and frozen', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE])
    await snapshotOf(world, volume, serverId, 'required')
    return {}
  }),
  scenario('create-snapshot', 'offline', false, async (world) => {
    const volume = await world.volume([BASE, TOP])
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    await snapshotOf(world, volume, null)
    return {}
  }),
  scenario('create-snapshot', 'of two disks at once', true, async (world) => {
    const serverId = await world.server('active')
    const volumes = [await world.volume([BASE]), await world.volume([BASE, TOP])]
    for (const volume of volumes) await world.attach(serverId, volume)
    await world.snapshot(volumes[1] as Volumed, volumes[1]?.layerIds[0] ?? '', 'available')
    await boot(
      world,
      serverId,
      volumes.map((volume) => volume.diskId),
    )
    const switches: ops.Switch[] = []
    const snapshots: { snapshotId: string; diskId: string }[] = []
    for (const volume of volumes) {
      const snapshotId = await world.snapshot(volume, null, 'creating', serverId)
      world.expected.set(snapshotId, world.expected.get(volume.diskId) ?? new Map())
      switches.push({ diskId: volume.diskId, layerId: await world.planned() })
      snapshots.push({ snapshotId, diskId: volume.diskId })
    }
    await world.enqueue(ops.createSnapshot, { serverId, switches, snapshots, quiesce: 'none', imageId: null })
    return {}
  }),
  scenario('delete-snapshot', 'live, then merged', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, TOP])
    const snapshotId = await world.snapshot(volume, volume.layerIds[0] ?? '', 'deleting')
    await world.enqueue(ops.deleteSnapshot, { snapshotId, children: 'share' })
    return writing(serverId, volume)
  }),
  scenario('merge-layer', 'live, committed down', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [HEAVY, SMALL])
    await merge(world, volume, 0)
    return writing(serverId, volume)
  }),
  scenario('merge-layer', 'live, pulled up', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, SMALL, TOP, merged(BASE, TOP)])
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    await world.snapshot(volume, volume.layerIds[2] ?? '', 'available')
    await merge(world, volume, 1)
    return writing(serverId, volume)
  }),
  scenario('merge-layer', 'offline, committed down', false, async (world) => {
    await merge(world, await world.volume([HEAVY, SMALL]), 0)
    return {}
  }),
  scenario('merge-layer', 'offline, pulled up', false, async (world) => {
    const volume = await world.volume([BASE, SMALL, merged(BASE, TOP)])
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    await merge(world, volume, 1)
    return {}
  }),
  scenario('drop-layer', 'of a branch', false, async (world) => {
    const volume = await world.volume([BASE, TOP])
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    const id = randomUUID()
    const parentId = volume.layerIds[0] ?? ''
    await world.planned({ id, parentId, state: 'sealed' })
    await makeImage(join(world.pool, `${id}.qcow2`), DISK_MIB, `${parentId}.qcow2`, SMALL)
    await world.enqueue(ops.dropLayer, { layerId: id })
    return {}
  }),
  scenario('create-server', 'on an image', false, async (world) => {
    const source = await world.volume([BASE])
    const serverId = await world.server('building', 'spawning')
    const parentLayerId = source.layerIds[0] ?? ''
    await world.snapshot(source, parentLayerId, 'available')
    const root = await world.rootOf(serverId, [])
    const layerId = await world.planned({ parentId: parentLayerId })
    world.expected.set(root.diskId, BASE)
    await world.db.transaction(async (s) => {
      await s.layers.update(parentLayerId, { state: 'sealed' })
      await s.disks.update(source.diskId, { topLayerId: null })
    })
    const layers = [{ diskId: root.diskId, layerId, parentLayerId, virtualSize: DISK_MIB * MIB }]
    await world.enqueue(ops.createServer, { serverId, layers, diskIds: [root.diskId] })
    return {}
  }),
  onServer('start-server', 'from off', 'stopped', 'powering-on', (w, i) => w.enqueue(ops.startServer, i)),
  onServer('stop-server', 'running', 'active', 'powering-off', (w, i) => w.enqueue(ops.stopServer, { ...i, graceMs: 50 })),
  onServer('reboot-server', 'soft', 'active', 'rebooting', (w, i) => w.enqueue(ops.rebootServer, { ...i, type: 'SOFT' })),
  onServer('reboot-server', 'hard', 'active', 'rebooting_hard', (w, i) => w.enqueue(ops.rebootServer, { ...i, type: 'HARD' })),
  onServer('pause-server', 'running', 'active', 'pausing', (w, i) => w.enqueue(ops.pauseServer, i)),
  onServer('unpause-server', 'paused', 'paused', 'unpausing', (w, i) => w.enqueue(ops.unpauseServer, i)),
  onServer('delete-server', 'running', 'active', 'deleting', (w, i) => w.enqueue(ops.deleteServer, i)),
  scenario('record-guest-off', 'after the guest ended', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE])
    const monitor = await openMonitor(socketOf(world, serverId))
    await monitor.ask('system_powerdown')
    monitor.close()
    await world.enqueue(ops.recordGuestOff, { serverId, diskIds: [volume.diskId] })
    return {}
  }),
  scenario('record-qemu-lost', 'after a loss', false, async (world) => {
    const serverId = await world.server('active')
    await world.enqueue(ops.recordQemuLost, { serverId, diskIds: [], reason: 'The server stopped unexpectedly.' })
    return {}
  }),
  scenario('attach-volume', 'to a running server', true, async (world) => {
    const { serverId } = await served(world, 'active', [BASE])
    const volume = await world.volume([BASE, TOP])
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    const attachmentId = await world.attach(serverId, volume, 'attaching')
    await world.enqueue(ops.attachVolume, { attachmentId, volumeId: volume.volumeId, diskId: volume.diskId, serverId })
    return {}
  }),
  scenario('detach-volume', 'from a server that is off', false, async (world) => {
    const serverId = await world.server('stopped')
    const volume = await world.volume([BASE])
    const attachmentId = await world.attach(serverId, volume, 'detaching')
    await world.enqueue(ops.detachVolume, { attachmentId, volumeId: volume.volumeId, diskId: volume.diskId, serverId })
    return {}
  }),
  scenario('detach-volume', 'that the guest keeps', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE])
    const [attachment] = await world.db.read.attachments.list('any', { where: { serverId: { is: serverId } } })
    await world.db.transaction(async (s) => {
      await s.attachments.update(attachment?.id ?? '', { status: 'detaching' })
      await s.volumes.update(volume.volumeId, { status: 'detaching' })
    })
    await world.enqueue(ops.detachVolume, {
      attachmentId: attachment?.id ?? '',
      volumeId: volume.volumeId,
      diskId: volume.diskId,
      serverId,
    })
    return {}
  }),
  scenario('create-volume', 'blank', false, async (world) => {
    const volume = await world.volume([])
    const layer = { diskId: volume.diskId, layerId: await world.planned(), parentLayerId: null, virtualSize: DISK_MIB * MIB }
    await world.enqueue(ops.createVolume, { volumeId: volume.volumeId, layer })
    return {}
  }),
  scenario('create-volume', 'from a snapshot', false, async (world) => {
    const source = await world.volume([BASE, TOP])
    const parentLayerId = source.layerIds[0] ?? ''
    await world.snapshot(source, parentLayerId, 'available')
    const volume = await world.volume([])
    world.expected.set(volume.diskId, BASE)
    const layer = {
      diskId: volume.diskId,
      layerId: await world.planned({ parentId: parentLayerId }),
      parentLayerId,
      virtualSize: DISK_MIB * MIB,
    }
    await world.enqueue(ops.createVolume, { volumeId: volume.volumeId, layer })
    return {}
  }),
  scenario('clone-volume', 'of a live one', true, async (world) => {
    const { serverId, volume: source } = await served(world, 'active', [BASE])
    const volume = await world.volume([])
    world.expected.set(volume.diskId, world.expected.get(source.diskId) ?? BASE)
    const clone = { volumeId: volume.volumeId, diskId: volume.diskId, layerId: await world.planned(), virtualSize: DISK_MIB * MIB }
    await world.enqueue(ops.cloneVolume, {
      ...clone,
      source: { diskId: source.diskId, layerId: await world.planned() },
      sourceServerId: serverId,
    })
    return writing(serverId, source)
  }),
  scenario('extend-volume', 'live', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE])
    await world.db.transaction((s) => s.volumes.update(volume.volumeId, { status: 'extending' }))
    await world.enqueue(ops.extendVolume, {
      volumeId: volume.volumeId,
      diskId: volume.diskId,
      serverId,
      virtualSize: 2 * DISK_MIB * MIB,
      sizeGib: 1,
    })
    return writing(serverId, volume)
  }),
  scenario('extend-volume', 'offline', false, async (world) => {
    const volume = await world.volume([BASE], { status: 'extending' })
    await world.enqueue(ops.extendVolume, {
      volumeId: volume.volumeId,
      diskId: volume.diskId,
      serverId: null,
      virtualSize: 2 * DISK_MIB * MIB,
      sizeGib: 1,
    })
    return {}
  }),
  scenario('delete-volume', 'with all its layers', false, async (world) => {
    const volume = await world.volume([BASE, TOP], { status: 'deleting' })
    await world.enqueue(ops.deleteVolume, { volumeId: volume.volumeId, diskId: volume.diskId })
    return {}
  }),
  scenario('capture-image', 'of a running server', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, TOP], 'image_snapshot_pending')
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    const imageId = await world.image('queued')
    world.expected.set(imageId, world.expected.get(volume.diskId) ?? new Map())
    const source = { diskId: volume.diskId, layerId: await world.planned() }
    const imageLayerId = await world.planned({ origin: 'image' })
    await world.enqueue(ops.captureImage, { imageId, imageLayerId, serverId, volumeId: null, source, quiesce: 'none' })
    return writing(serverId, volume)
  }),
  scenario('export-image', 'of a sealed layer', false, async (world) => {
    const volume = await world.volume([BASE, TOP], { status: 'uploading' })
    const sourceLayerId = volume.layerIds[0] ?? ''
    const imageId = await world.image('saving', { sourceLayerId })
    world.expected.set(imageId, BASE)
    const imageLayerId = await world.planned({ origin: 'image' })
    const rest = { serverId: null, volumeId: volume.volumeId, notActiveBefore: world.clock.now() }
    await world.enqueue(ops.exportImage, { imageId, imageLayerId, sourceLayerId, ...rest })
    return {}
  }),
  scenario('import-image', 'of an upload', false, async (world) => {
    const stagingPath = join(world.dir, 'staging', randomUUID())
    await makeImage(stagingPath, DISK_MIB, null, BASE)
    const imageId = await world.image('saving')
    world.expected.set(imageId, BASE)
    const imageLayerId = await world.planned({ origin: 'image' })
    await world.enqueue(ops.importImage, { imageId, imageLayerId, stagingPath, format: 'qcow2', size: 1, checksum: 'x', hashValue: 'y' })
    return {}
  }),
]

/** The moment of a promise is the pivot: what the guest writes after it belongs to the disk alone. */
export const deviceOf = (diskId: string): string => deviceName(diskId)
