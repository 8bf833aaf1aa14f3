/** Layers that go: in a running guest and beside one, in both directions, into each of several, and put off until it can be. */
import * as ops from '../../src/domain/operations.js'
import { BASE, boot, HEAVY, merge, merged, type Scenario, SMALL, scenario, served, TOP, writing } from './stage.js'
import type { Volumed, World } from './world.js'

/** A branch that nobody runs, on a layer of another volume's chain. */
export const BRANCH = new Map([
  [2, 0x51],
  [6, 0x52],
])

export interface Shared {
  readonly layerId: string
  readonly volumes: readonly [Volumed, Volumed]
  readonly servers: readonly [string, string]
  readonly snapshotId: string
}

/** Two running servers on disks that share a layer; the one below that is about to lose its snapshot. */
export async function sharedByTwo(world: World): Promise<Shared> {
  const { serverId, volume } = await served(world, 'active', [BASE, SMALL, TOP])
  const other = await world.volume([BRANCH], {}, volume.layerIds[1] ?? null)
  const otherId = await world.server('active')
  await world.attach(otherId, other)
  await boot(world, otherId, [other.diskId])
  const layerId = volume.layerIds[0] ?? ''
  const snapshotId = await world.snapshot(volume, layerId, 'deleting')
  await world.enqueue(ops.deleteSnapshot, { snapshotId, children: 'share' })
  return { layerId, volumes: [volume, other], servers: [serverId, otherId], snapshotId }
}

/** A layer between a pinned base and two children: one in a running guest, one at rest. */
export async function twoChildren(world: World): Promise<{ serverId: string; volume: Volumed; branch: Volumed; snapshotId: string }> {
  const { serverId, volume } = await served(world, 'active', [BASE, SMALL, TOP])
  const kept = await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
  world.expected.set(kept, BASE)
  const branch = await world.volume([BRANCH], {}, volume.layerIds[1] ?? null)
  const snapshotId = await world.snapshot(volume, volume.layerIds[1] ?? '', 'deleting')
  return { serverId, volume, branch, snapshotId }
}

export const MERGE_SCENARIOS: readonly Scenario[] = [
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
  scenario('delete-snapshot', 'offline, then merged', false, async (world) => {
    const volume = await world.volume([BASE, TOP])
    const snapshotId = await world.snapshot(volume, volume.layerIds[0] ?? '', 'deleting')
    await world.enqueue(ops.deleteSnapshot, { snapshotId, children: 'share' })
    return {}
  }),
  scenario('merge-layer', 'in a paused guest', true, async (world) => {
    const { volume } = await served(world, 'paused', [HEAVY, SMALL])
    await merge(world, volume, 0)
    return {}
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
  scenario('merge-layer', 'into each of two, live and offline', true, async (world) => {
    const { serverId, volume, snapshotId } = await twoChildren(world)
    await world.enqueue(ops.deleteSnapshot, { snapshotId, children: 'each' })
    return writing(serverId, volume)
  }),
  scenario('merge-layer', 'into each of two, offline', false, async (world) => {
    const volume = await world.volume([BASE, SMALL, TOP])
    const branch = await world.volume([BRANCH], {}, volume.layerIds[1] ?? null)
    const [layerId = '', ...layerIds] = [volume.layerIds[1] ?? '', volume.layerIds[2] ?? '', ...branch.layerIds]
    const kept = await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    world.expected.set(kept, BASE)
    await world.enqueue(ops.mergeLayer, { layerId, layerIds, diskIds: [volume.diskId, branch.diskId], children: 'each' })
    return {}
  }),
  scenario('merge-layer', 'put off until a server stops', true, async (world) => {
    const { volumes, servers } = await sharedByTwo(world)
    const afterwards = async (): Promise<void> => {
      await world.db.transaction((s) => s.servers.update(servers[1], { taskState: 'powering-off' }))
      await world.enqueue(ops.stopServer, { serverId: servers[1], diskIds: [volumes[1].diskId], graceMs: 0 })
    }
    return { ...writing(servers[0], volumes[0]), afterwards }
  }),
]
