/** Chains made shorter or moved as somebody asked: pulled up, committed down, copied away; in a running guest and beside one. */
import { commitChain, copyDisk, pullChain } from '../../src/domain/chain-operations.js'
import { BASE, HEAVY, merged, type Scenario, SMALL, scenario, served, TOP, writing } from './stage.js'
import type { Volumed, World } from './world.js'

const unlimited = { bytesPerSecond: 0 }

export async function pull(world: World, volume: Volumed, base: number | null): Promise<void> {
  await world.enqueue(pullChain, { ...unlimited, diskId: volume.diskId, baseLayerId: base === null ? null : (volume.layerIds[base] ?? '') })
}

export async function commit(world: World, volume: Volumed, top: number, base: number): Promise<void> {
  const [topLayerId = '', baseLayerId = ''] = [volume.layerIds[top], volume.layerIds[base]]
  const layerIds = volume.layerIds.slice(base + 1)
  await world.enqueue(commitChain, { ...unlimited, diskId: volume.diskId, topLayerId, baseLayerId, layerIds, diskIds: [volume.diskId] })
}

export async function copyAway(world: World, volume: Volumed, format: 'qcow2' | 'raw'): Promise<string> {
  const layerId = await world.planned({ format })
  await world.enqueue(copyDisk, { ...unlimited, diskId: volume.diskId, layerId, end: 'pivot', copyDiskId: null, copyVolumeId: null })
  return layerId
}

/** The copy is promised what the disk shows when the copying ends. */
export async function copyKept(world: World, volume: Volumed, format: 'qcow2' | 'raw'): Promise<Volumed> {
  const copy = await world.volume([])
  world.expected.set(copy.diskId, world.expected.get(volume.diskId) ?? BASE)
  const layerId = await world.planned({ format })
  const kept = { end: 'keep', copyDiskId: copy.diskId, copyVolumeId: copy.volumeId } as const
  await world.enqueue(copyDisk, { ...unlimited, ...kept, diskId: volume.diskId, layerId })
  return copy
}

/** A snapshot of one of its layers, base first. */
async function kept(world: World, volume: Volumed, layer: number, content: ReadonlyMap<number, number>): Promise<void> {
  const snapshotId = await world.snapshot(volume, volume.layerIds[layer] ?? '', 'available')
  world.expected.set(snapshotId, content)
}

export const CHAIN_SCENARIOS: readonly Scenario[] = [
  scenario('pull-chain', 'live, down to nothing', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, SMALL, TOP])
    await kept(world, volume, 1, merged(BASE, SMALL))
    await pull(world, volume, null)
    return writing(serverId, volume)
  }),
  scenario('pull-chain', 'live, down to a base', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, HEAVY, SMALL, TOP])
    await kept(world, volume, 0, BASE)
    await pull(world, volume, 0)
    return writing(serverId, volume)
  }),
  scenario('pull-chain', 'offline, down to a base', false, async (world) => {
    const volume = await world.volume([BASE, HEAVY, SMALL, TOP])
    await kept(world, volume, 0, BASE)
    await kept(world, volume, 2, merged(BASE, HEAVY, SMALL))
    await pull(world, volume, 0)
    return {}
  }),
  scenario('pull-chain', 'offline, down to nothing', false, async (world) => {
    const volume = await world.volume([BASE, SMALL, TOP])
    await pull(world, volume, null)
    return {}
  }),
  scenario('commit-chain', 'of the top, live', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, HEAVY, SMALL, TOP])
    await kept(world, volume, 0, BASE)
    await commit(world, volume, 3, 1)
    return writing(serverId, volume)
  }),
  scenario('commit-chain', 'of the top, in a paused guest', true, async (world) => {
    const { volume } = await served(world, 'paused', [BASE, SMALL, TOP])
    await commit(world, volume, 2, 0)
    return {}
  }),
  scenario('commit-chain', 'of the top, offline', false, async (world) => {
    const volume = await world.volume([BASE, SMALL, TOP])
    await commit(world, volume, 2, 0)
    return {}
  }),
  scenario('commit-chain', 'of a snapshot below, live', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, HEAVY, SMALL, TOP])
    await kept(world, volume, 2, merged(BASE, HEAVY, SMALL))
    await commit(world, volume, 2, 0)
    return writing(serverId, volume)
  }),
  scenario('commit-chain', 'of a snapshot below, offline', false, async (world) => {
    const volume = await world.volume([BASE, HEAVY, SMALL, TOP])
    await kept(world, volume, 2, merged(BASE, HEAVY, SMALL))
    await commit(world, volume, 2, 1)
    return {}
  }),
  scenario('copy-disk', 'live, and moved to', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, SMALL, TOP])
    await kept(world, volume, 1, merged(BASE, SMALL))
    await copyAway(world, volume, 'qcow2')
    return writing(serverId, volume)
  }),
  scenario('copy-disk', 'live to raw, and moved to', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, TOP])
    await copyAway(world, volume, 'raw')
    return writing(serverId, volume)
  }),
  scenario('copy-disk', 'offline, and moved to', false, async (world) => {
    const volume = await world.volume([BASE, SMALL, TOP])
    await kept(world, volume, 0, BASE)
    await copyAway(world, volume, 'raw')
    return {}
  }),
  scenario('copy-disk', 'live, and kept beside', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, TOP])
    await kept(world, volume, 0, BASE)
    await copyKept(world, volume, 'qcow2')
    return writing(serverId, volume)
  }),
  scenario('copy-disk', 'offline, and kept beside', false, async (world) => {
    const volume = await world.volume([BASE, TOP])
    await kept(world, volume, 0, BASE)
    await copyKept(world, volume, 'raw')
    return {}
  }),
]
