/** Images: of servers and volumes in every state, of uploads, and what is made from them. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import * as ops from '../../src/domain/operations.js'
import type { Quiesce } from '../../src/domain/snapshot.js'
import { makeImage, makeRaw } from './images.js'
import { BASE, type Scenario, scenario, served, snapshotOf, TOP, writing } from './stage.js'
import { DISK_MIB, MIB, type Volumed, type World } from './world.js'

async function capture(world: World, volume: Volumed, serverId: string | null, quiesce: Quiesce = 'none'): Promise<void> {
  await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
  const imageId = await world.image('queued')
  world.expected.set(imageId, world.expected.get(volume.diskId) ?? new Map())
  const source = { diskId: volume.diskId, layerId: await world.planned() }
  const imageLayerId = await world.planned({ origin: 'image' })
  const volumeId = serverId === null ? volume.volumeId : null
  await world.enqueue(ops.captureImage, { imageId, imageLayerId, serverId, volumeId, source, quiesce })
}

async function upload(world: World, format: 'qcow2' | 'raw'): Promise<void> {
  const stagingPath = join(world.dir, 'staging', randomUUID())
  await (format === 'raw' ? makeRaw(stagingPath, DISK_MIB, BASE) : makeImage(stagingPath, DISK_MIB, null, BASE))
  const imageId = await world.image('saving')
  world.expected.set(imageId, BASE)
  const imageLayerId = await world.planned({ origin: 'image', format })
  await world.enqueue(ops.importImage, { imageId, imageLayerId, stagingPath, format, size: 1, checksum: 'x', hashValue: 'y' })
}

export const IMAGE_SCENARIOS: readonly Scenario[] = [
  scenario('capture-image', 'of a running server', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, TOP], 'image_snapshot_pending')
    await capture(world, volume, serverId)
    return writing(serverId, volume)
  }),
  scenario('capture-image', 'of a frozen server', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, TOP], 'image_snapshot_pending')
    await capture(world, volume, serverId, 'required')
    return {}
  }),
  scenario('capture-image', 'of a server that is off', false, async (world) => {
    const { serverId, volume } = await served(world, 'stopped', [BASE, TOP], 'image_snapshot_pending')
    await capture(world, volume, serverId, 'required')
    return {}
  }),
  scenario('capture-image', 'of a volume', false, async (world) => {
    await capture(world, await world.volume([BASE, TOP], { status: 'uploading' }), null)
    return {}
  }),
  scenario('create-snapshot', 'with an image of its server', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE], 'image_snapshot_pending')
    await snapshotOf(world, volume, serverId, 'none', await world.image('queued'))
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
  scenario('export-image', 'as raw', false, async (world) => {
    const volume = await world.volume([BASE, TOP], { status: 'uploading' })
    const sourceLayerId = volume.layerIds[0] ?? ''
    const imageId = await world.image('saving', { sourceLayerId })
    world.expected.set(imageId, BASE)
    const imageLayerId = await world.planned({ origin: 'image', format: 'raw' })
    const rest = { serverId: null, volumeId: volume.volumeId, notActiveBefore: world.clock.now(), format: 'raw' } as const
    await world.enqueue(ops.exportImage, { imageId, imageLayerId, sourceLayerId, ...rest })
    return {}
  }),
  scenario('export-image', 'from under a running server', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, TOP], 'image_pending_upload')
    const sourceLayerId = volume.layerIds[0] ?? ''
    const imageId = await world.image('saving', { sourceLayerId })
    world.expected.set(imageId, BASE)
    const imageLayerId = await world.planned({ origin: 'image' })
    const rest = { serverId, volumeId: null, notActiveBefore: world.clock.now() }
    await world.enqueue(ops.exportImage, { imageId, imageLayerId, sourceLayerId, ...rest })
    return writing(serverId, volume)
  }),
  scenario('import-image', 'of an upload', false, async (world) => {
    await upload(world, 'qcow2')
    return {}
  }),
  scenario('import-image', 'of a raw upload', false, async (world) => {
    await upload(world, 'raw')
    return {}
  }),
  scenario('create-volume', 'from a raw image', false, async (world) => {
    const parentLayerId = await world.planned({ origin: 'image', format: 'raw', state: 'sealed' })
    const path = join(world.pool, `${parentLayerId}.raw`)
    await makeRaw(path, DISK_MIB, BASE)
    world.expected.set(await world.image('queued', { status: 'active', layerId: parentLayerId }), BASE)
    const volume = await world.volume([])
    world.expected.set(volume.diskId, BASE)
    const layerId = await world.planned({ parentId: parentLayerId })
    const layer = { diskId: volume.diskId, layerId, parentLayerId, virtualSize: DISK_MIB * MIB }
    await world.enqueue(ops.createVolume, { volumeId: volume.volumeId, layer })
    return {}
  }),
]
