/** Servers and volumes that go back to their snapshots: from each state, to each, what is given up and what must stay. */
import { randomUUID } from 'node:crypto'
import type { VmState } from '../../src/domain/server.js'
import type { CapturedPower } from '../../src/domain/server-snapshot.js'
import { revertServer, revertVolume } from '../../src/domain/server-snapshot-operations.js'
import { serverSnapshotRow } from './rows.js'
import { BASE, boot, merged, pause, type Scenario, SMALL, scenario, TOP, writing } from './stage.js'
import { DISK_MIB, MIB, type Volumed, type World } from './world.js'

export interface Part {
  readonly volume: Volumed
  readonly layerId: string
  readonly tag?: string
}

/** A server snapshot that was taken: its parts pin the layers, and what they read as is expected under their ids. */
export async function taken(
  world: World,
  serverId: string,
  parts: readonly Part[],
  patch = {},
): Promise<{ id: string; partIds: string[] }> {
  const id = randomUUID()
  const partIds = parts.map(() => randomUUID())
  const { projectId, userId } = world.origin()
  await world.db.transaction(async (s) => {
    await s.serverSnapshots.insert(serverSnapshotRow({ id, projectId, userId, serverId, createdAt: world.clock.now() }, patch))
    await s.quotas.take(projectId, id, { snapshots: 1 })
    for (const [at, { volume, layerId, tag = null }] of parts.entries()) {
      const { diskId, volumeId } = volume
      const what = { id: partIds[at] ?? '', projectId, serverSnapshotId: id, diskId, volumeId, device: `vd${'bcdef'[at]}`, layerId, tag }
      await s.diskSnapshots.insert({ ...what, virtualSize: DISK_MIB * MIB, createdAt: world.clock.now() })
    }
  })
  return { id, partIds }
}

/**
 * A server of two disks, each with a snapshot below what was written since, and one of those with a second snapshot in
 * between, which must stay what it is.
 */
async function twoDisks(world: World, state: VmState) {
  const serverId = await world.server(state, 'rebuilding')
  const [first, second] = [await world.volume([BASE, SMALL, TOP]), await world.volume([TOP, BASE])]
  for (const volume of [first, second]) await world.attach(serverId, volume)
  const target = await taken(world, serverId, [
    { volume: first, layerId: first.layerIds[0] ?? '' },
    { volume: second, layerId: second.layerIds[0] ?? '' },
  ])
  const later = await taken(world, serverId, [{ volume: first, layerId: first.layerIds[1] ?? '' }], { parentId: target.id })
  const [one = '', two = ''] = target.partIds
  world.expected.set(one, BASE).set(two, TOP)
  world.expected.set(later.partIds[0] ?? '', merged(BASE, SMALL))
  await world.db.transaction((s) => s.servers.update(serverId, { currentSnapshotId: later.id }))
  if (state !== 'stopped') await boot(world, serverId, [first.diskId, second.diskId])
  if (state === 'paused') await pause(world, serverId)
  return { serverId, volumes: [first, second] as const, target }
}

const from = (state: VmState, powerState: CapturedPower, what: string, kept: 'error' | null = null): Scenario =>
  scenario(
    'revert-server',
    what,
    state !== 'stopped' || powerState !== 'stopped',
    async (world) => {
      const { serverId, volumes, target } = await twoDisks(world, state)
      const keptIn = kept === null ? null : (await taken(world, serverId, [], { status: kept })).id
      const disks = await Promise.all(
        volumes.map(async ({ diskId }, at) => ({ diskSnapshotId: target.partIds[at] ?? '', diskId, layerId: await world.planned() })),
      )
      for (const { diskId, diskSnapshotId } of disks) world.reverted.set(diskId, world.expected.get(diskSnapshotId) ?? new Map())
      await world.db.transaction((s) => s.serverSnapshots.update(target.id, { status: 'reverting' }))
      const diskIds = volumes.map(({ diskId }) => diskId)
      const layerIds = volumes.map(({ layerIds: [pinned = ''] }) => pinned)
      const input = { serverId, serverSnapshotId: target.id, diskIds, disks, layerIds, powerState, withMemory: false, keptIn }
      await world.enqueue(revertServer, input)
      if (keptIn !== null)
        await world.db.transaction(async (s) => {
          await s.serverSnapshots.remove(keptIn)
          await s.quotas.release(keptIn)
        })
      return state === 'active' || powerState === 'running' ? writing(serverId, volumes[0]) : {}
    },
    { ends: kept === null ? 'done' : 'failed' },
  )

export const REVERT_SCENARIOS: readonly Scenario[] = [
  from('active', 'running', 'running, to running'),
  from('active', 'stopped', 'running, to off'),
  from('active', 'paused', 'running, to paused'),
  from('paused', 'running', 'paused, to running'),
  from('stopped', 'stopped', 'off, to off'),
  from('stopped', 'running', 'off, to running'),
  from('active', 'running', 'whose present could not be kept', 'error'),
  scenario('revert-volume', 'to its latest snapshot', false, async (world) => {
    const volume = await world.volume([BASE, SMALL, TOP], { status: 'reverting' })
    const [older = '', latest = ''] = volume.layerIds
    world.expected.set(await world.snapshot(volume, older, 'available'), BASE)
    const snapshotId = await world.snapshot(volume, latest, 'restoring')
    world.expected.set(snapshotId, merged(BASE, SMALL))
    world.reverted.set(volume.diskId, merged(BASE, SMALL))
    const input = { volumeId: volume.volumeId, diskId: volume.diskId, snapshotId, snapshotLayerId: latest, layerId: await world.planned() }
    await world.enqueue(revertVolume, input)
    return {}
  }),
]
