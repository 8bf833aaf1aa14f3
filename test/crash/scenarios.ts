/** For every operation a world in which it is asked for. The sweep and its sample run all of them. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import * as ops from '../../src/domain/operations.js'
import { ATTACH_SCENARIOS } from './attach-scenarios.js'
import { CHAIN_SCENARIOS } from './chain-scenarios.js'
import { IMAGE_SCENARIOS } from './image-scenarios.js'
import { makeImage } from './images.js'
import { MEMORY_SCENARIOS } from './memory-scenarios.js'
import { MEMORY_SNAPSHOT_SCENARIOS } from './memory-snapshot-scenarios.js'
import { MERGE_SCENARIOS } from './merge-scenarios.js'
import { REVERT_SCENARIOS } from './revert-scenarios.js'
import { SERVER_SCENARIOS } from './server-scenarios.js'
import { SERVER_SNAPSHOT_DELETION_SCENARIOS } from './server-snapshot-deletion-scenarios.js'
import { SERVER_SNAPSHOT_SCENARIOS } from './server-snapshot-scenarios.js'
import { BASE, boot, type Scenario, SMALL, scenario, served, snapshotOf, TOP, writing } from './stage.js'
import { DISK_MIB, MIB, type Volumed } from './world.js'

const STORAGE_SCENARIOS: readonly Scenario[] = [
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
  scenario('create-snapshot', 'of a paused server', true, async (world) => {
    const { serverId, volume } = await served(world, 'paused', [BASE, TOP])
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    await snapshotOf(world, volume, serverId)
    return {}
  }),
  scenario('create-snapshot', 'of a server that is off', false, async (world) => {
    const { serverId, volume } = await served(world, 'stopped', [BASE])
    await snapshotOf(world, volume, serverId, 'required')
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
  scenario('clone-volume', 'offline', false, async (world) => {
    const source = await world.volume([BASE, TOP])
    await world.snapshot(source, source.layerIds[0] ?? '', 'available')
    const volume = await world.volume([])
    world.expected.set(volume.diskId, world.expected.get(source.diskId) ?? BASE)
    const clone = { volumeId: volume.volumeId, diskId: volume.diskId, layerId: await world.planned(), virtualSize: DISK_MIB * MIB }
    const switched = { diskId: source.diskId, layerId: await world.planned() }
    await world.enqueue(ops.cloneVolume, { ...clone, source: switched, sourceServerId: null })
    return {}
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
]

export const SCENARIOS: readonly Scenario[] = [
  ...STORAGE_SCENARIOS,
  ...IMAGE_SCENARIOS,
  ...ATTACH_SCENARIOS,
  ...MEMORY_SCENARIOS,
  ...MERGE_SCENARIOS,
  ...CHAIN_SCENARIOS,
  ...SERVER_SCENARIOS,
  ...REVERT_SCENARIOS,
  ...SERVER_SNAPSHOT_SCENARIOS,
  ...SERVER_SNAPSHOT_DELETION_SCENARIOS,
  ...MEMORY_SNAPSHOT_SCENARIOS,
]
