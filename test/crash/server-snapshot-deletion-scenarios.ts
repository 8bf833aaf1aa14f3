/** Snapshots of servers that are given up: in every place of the tree, of both kinds, and what merges below a tag wait for. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { layerFileName, tagName } from '../../src/domain/names.js'
import { deleteServer, mergeLayer } from '../../src/domain/operations.js'
import type { VmState } from '../../src/domain/server.js'
import { deleteServerSnapshots } from '../../src/domain/server-snapshot-operations.js'
import type { ConsistencyReport } from '../../src/domain/snapshot.js'
import type { Content } from './images.js'
import { taken } from './revert-scenarios.js'
import { BASE, boot, merged, type Scenario, SMALL, scenario, served, TOP, writing } from './stage.js'
import type { Volumed, World } from './world.js'

const run = promisify(execFile)

/** By which one that was taken is known from one that was not. */
const REPORT: ConsistencyReport = {
  requested: 'none',
  reached: 'crash',
  degradedReason: null,
  frozenFilesystems: null,
  thawedFilesystems: null,
  frozenFor: null,
  switchedIn: null,
  live: true,
  takenAt: 1,
}

/** A tag in the closed top of a volume, and what is written there since. */
export async function tagged(world: World, volume: Volumed, since: Content): Promise<{ tag: string; content: Content }> {
  const tag = tagName(randomUUID())
  const path = join(world.pool, layerFileName(volume.layerIds.at(-1) ?? '', 'qcow2'))
  const content = world.expected.get(volume.diskId) ?? new Map()
  await run('qemu-img', ['snapshot', '-q', '-c', tag, path])
  await run('qemu-io', ['-f', 'qcow2', ...[...since].flatMap(([block, byte]) => ['-c', `write -q -P ${byte} ${block}M 1M`]), path])
  world.expected.set(volume.diskId, merged(content, since))
  return { tag, content }
}

export const remove = async (
  world: World,
  serverId: string,
  serverSnapshotIds: string[],
  diskIds: string[],
  children: 'share' | 'each' = 'share',
): Promise<void> => {
  for (const id of serverSnapshotIds) await world.db.transaction((s) => s.serverSnapshots.update(id, { status: 'deleting' }))
  await world.enqueue(deleteServerSnapshots, { serverId, serverSnapshotIds, children, diskIds })
}

/** Snapshots at given layers of a server's disk, each grown from the one before; the last is the current one. */
export async function grown(world: World, serverId: string, volume: Volumed, at: readonly number[]): Promise<string[]> {
  const contents = [BASE, merged(BASE, SMALL), merged(BASE, SMALL, TOP)]
  const ids: string[] = []
  for (const index of at) {
    const { id, partIds } = await taken(world, serverId, [{ volume, layerId: volume.layerIds[index] ?? '' }], {
      parentId: ids.at(-1) ?? null,
      report: REPORT,
    })
    world.expected.set(partIds[0] ?? '', contents[index] ?? BASE)
    ids.push(id)
  }
  await world.db.transaction((s) => s.servers.update(serverId, { currentSnapshotId: ids.at(-1) ?? null }))
  return ids
}

/** Two tags in the top of a server's disk, the first to be given up. Started once they are there. */
export async function twoTags(world: World, vmState: VmState) {
  const { serverId, volume } = await served(world, 'stopped', [BASE, TOP])
  await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
  const layerId = volume.layerIds[1] ?? ''
  const ids: string[] = []
  for (const since of [SMALL, BASE]) {
    const { tag, content } = await tagged(world, volume, since)
    const patch = { kind: 'internal', parentId: ids.at(-1) ?? null, report: REPORT } as const
    const { id, partIds } = await taken(world, serverId, [{ volume, layerId, tag }], patch)
    world.expected.set(partIds[0] ?? '', content)
    ids.push(id)
  }
  await world.db.transaction((s) => s.servers.update(serverId, { vmState, powerState: 1, currentSnapshotId: ids[1] ?? null }))
  if (vmState === 'active') await boot(world, serverId, [volume.diskId])
  return { serverId, volume, ids }
}

export const SERVER_SNAPSHOT_DELETION_SCENARIOS: readonly Scenario[] = [
  scenario('delete-server-snapshots', 'external, the current leaf, live', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, SMALL, TOP])
    const [, leaf = ''] = await grown(world, serverId, volume, [0, 1])
    await remove(world, serverId, [leaf], [])
    return writing(serverId, volume)
  }),
  scenario('delete-server-snapshots', 'external, inner, off', false, async (world) => {
    const { serverId, volume } = await served(world, 'stopped', [BASE, SMALL, TOP])
    const [inner = ''] = await grown(world, serverId, volume, [0, 1])
    await remove(world, serverId, [inner], [])
    return {}
  }),
  scenario('delete-server-snapshots', 'external, all of them, live', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, SMALL, TOP])
    await remove(world, serverId, await grown(world, serverId, volume, [0, 1]), [])
    return writing(serverId, volume)
  }),
  scenario('delete-server-snapshots', 'external, where it branches, into each', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE, SMALL, TOP])
    const [, fork = ''] = await grown(world, serverId, volume, [0, 1])
    const branch = await world.volume([TOP], {}, volume.layerIds[1] ?? null)
    await remove(world, serverId, [fork], [], 'each')
    await world.snapshot(branch, branch.layerIds[0] ?? '', 'available')
    return writing(serverId, volume)
  }),
  scenario('delete-server-snapshots', 'internal, live', true, async (world) => {
    const { serverId, volume, ids } = await twoTags(world, 'active')
    await remove(world, serverId, ids.slice(0, 1), [volume.diskId])
    return writing(serverId, volume)
  }),
  scenario('delete-server-snapshots', 'internal, of a server that is off', false, async (world) => {
    const { serverId, volume, ids } = await twoTags(world, 'stopped')
    await remove(world, serverId, ids, [volume.diskId])
    return {}
  }),
  scenario('delete-server-snapshots', 'internal, below an overlay', true, async (world) => {
    const serverId = await world.server('active')
    const volume = await world.volume([BASE])
    const { tag, content } = await tagged(world, volume, SMALL)
    const overlay = await world.volume([TOP], {}, volume.layerIds[0] ?? null)
    world.expected.set(overlay.diskId, merged(content, SMALL, TOP))
    world.deadTags.add(tag)
    await world.db.transaction(async (s) => {
      await s.layers.update(volume.layerIds[0] ?? '', { state: 'sealed' })
      await s.disks.update(volume.diskId, { topLayerId: null })
    })
    const { id, partIds } = await taken(world, serverId, [{ volume: overlay, layerId: volume.layerIds[0] ?? '', tag }], {
      kind: 'internal',
      report: REPORT,
    })
    world.expected.set(partIds[0] ?? '', content)
    await world.attach(serverId, overlay)
    await boot(world, serverId, [overlay.diskId])
    await remove(world, serverId, [id], [overlay.diskId])
    return writing(serverId, overlay)
  }),
  scenario('merge-layer', 'put off until an internal snapshot goes', true, async (world) => {
    const { serverId, volume } = await served(world, 'stopped', [BASE, TOP])
    const [gone = '', top = ''] = volume.layerIds
    const { tag, content } = await tagged(world, volume, SMALL)
    const { id, partIds } = await taken(world, serverId, [{ volume, layerId: top, tag }], { kind: 'internal', report: REPORT })
    world.expected.set(partIds[0] ?? '', content)
    await world.db.transaction((s) => s.servers.update(serverId, { vmState: 'active', powerState: 1 }))
    await boot(world, serverId, [volume.diskId])
    await world.enqueue(mergeLayer, { layerId: gone, layerIds: [top], diskIds: [volume.diskId], children: 'share' })
    return { ...writing(serverId, volume), afterwards: async () => await remove(world, serverId, [id], [volume.diskId]) }
  }),
  scenario('delete-server', 'with snapshots of its root and a volume that stays', true, async (world) => {
    const serverId = await world.server('active', 'deleting')
    const [root, volume] = [await world.rootOf(serverId, [BASE, SMALL]), await world.volume([BASE, TOP])]
    await world.attach(serverId, volume)
    const parts = [{ ...root, volumeId: null }, volume].map((one) => ({ volume: one, layerId: one.layerIds[0] ?? '' }))
    const { id, partIds } = await taken(world, serverId, parts, {})
    for (const part of partIds) world.expected.set(part, BASE)
    await world.db.transaction((s) => s.servers.update(serverId, { currentSnapshotId: id }))
    const diskIds = [root.diskId, volume.diskId]
    await boot(world, serverId, diskIds)
    await world.enqueue(deleteServer, { serverId, diskIds })
    return {}
  }),
  scenario('delete-server', 'with internal snapshots in a volume that stays', false, async (world) => {
    const { serverId, volume } = await twoTags(world, 'stopped')
    await world.db.transaction((s) => s.servers.update(serverId, { taskState: 'deleting' }))
    await world.enqueue(deleteServer, { serverId, diskIds: [volume.diskId] })
    return {}
  }),
]
