/** Servers and volumes that go back to their snapshots: from each state, to each, what is given up and what must stay. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { VmState } from '../../src/domain/server.js'
import type { CapturedPower, SnapshotKind } from '../../src/domain/server-snapshot.js'
import { revertServer, revertVolume } from '../../src/domain/server-snapshot-operations.js'
import { ANY } from '../../src/ports/stores.js'
import { drive, writeInGuest } from './engine.js'
import { type Content, makeImage } from './images.js'
import { serverSnapshotRow } from './rows.js'
import { pair, take } from './server-snapshot-scenarios.js'
import { BASE, boot, deviceOf, merged, pause, type Scenario, SMALL, scenario, socketOf, TOP, writing } from './stage.js'
import { DISK_MIB, MIB, type Volumed, type World } from './world.js'

export interface Part {
  readonly volume: Pick<Volumed, 'diskId'> & { readonly volumeId: string | null }
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
      for (const [at, { diskId }] of volumes.entries())
        world.reverted.set(diskId, world.expected.get(target.partIds[at] ?? '') ?? new Map())
      await goBack(world, { serverId, volumes, target, powerState, keptIn })
      if (keptIn !== null)
        await world.db.transaction(async (s) => {
          await s.serverSnapshots.remove(keptIn)
          await s.quotas.release(keptIn)
        })
      return state === 'active' || powerState === 'running' ? writing(serverId, volumes[0]) : {}
    },
    { ends: kept === null ? 'done' : 'failed' },
  )

interface Way {
  readonly serverId: string
  readonly volumes: readonly Volumed[]
  readonly target: { readonly id: string; readonly partIds: readonly string[] }
  readonly powerState: CapturedPower
  readonly keptIn: string | null
  readonly withMemory?: boolean
}

async function goBack(world: World, { serverId, volumes, target, powerState, keptIn, withMemory = false }: Way): Promise<void> {
  const disks = await Promise.all(
    volumes.map(async ({ diskId }, at) => ({ diskSnapshotId: target.partIds[at] ?? '', diskId, layerId: await world.planned() })),
  )
  const parts = await world.db.read.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: target.id } } })
  await world.db.transaction((s) => s.serverSnapshots.update(target.id, { status: 'reverting' }))
  const diskIds = volumes.map(({ diskId }) => diskId)
  const layerIds = parts.flatMap(({ layerId }) => layerId ?? [])
  await world.enqueue(revertServer, {
    serverId,
    serverSnapshotId: target.id,
    diskIds,
    disks,
    layerIds,
    powerState,
    withMemory,
    keptIn,
  })
}

/**
 * A server of two disks that each hold a tag in the top and were written to since. `sealed`: the first of them was sealed
 * under an overlay since, so that its tag has to be copied out.
 */
const fromTags = (state: VmState, powerState: CapturedPower, what: string, sealed: boolean): Scenario =>
  scenario('revert-server', what, state !== 'stopped' || powerState !== 'stopped', async (world) => {
    const serverId = await world.server(state, 'rebuilding')
    const volumes = [await world.volume([BASE, SMALL]), await world.volume([TOP])] as const
    for (const volume of volumes) await world.attach(serverId, volume)
    world.expected.set(await world.snapshot(volumes[0], volumes[0].layerIds[0] ?? '', 'available'), BASE)
    const snapshot = await taken(
      world,
      serverId,
      volumes.map((volume) => ({ volume, layerId: volume.layerIds.at(-1) ?? '', tag: 's-then' })),
      { kind: 'internal' },
    )
    const kept = await taken(world, serverId, [{ volume: volumes[1], layerId: volumes[1].layerIds[0] ?? '', tag: 's-kept' }], {
      kind: 'internal',
      parentId: snapshot.id,
    })
    for (const [at, { diskId, layerIds }] of volumes.entries()) {
      const file = join(world.pool, `${layerIds.at(-1)}.qcow2`)
      const then = world.expected.get(diskId) ?? new Map()
      world.expected.set(snapshot.partIds[at] ?? '', then)
      await tagAndWrite(file, 's-then', 1, 0x61)
      if (at === 1) await tagAndWrite(file, 's-kept', 3, 0x62)
      const since = new Map(then).set(1, 0x61)
      if (at === 1) world.expected.set(kept.partIds[0] ?? '', since)
      world.expected.set(diskId, at === 1 ? new Map(since).set(3, 0x62) : since)
      world.reverted.set(diskId, then)
    }
    if (sealed) await seal(world, volumes[0], new Map([[2, 0x63]]))
    const diskIds = volumes.map(({ diskId }) => diskId)
    if (state !== 'stopped') await boot(world, serverId, diskIds)
    if (state === 'paused') await pause(world, serverId)
    await world.db.transaction((s) => s.servers.update(serverId, { currentSnapshotId: kept.id }))
    await goBack(world, { serverId, volumes, target: snapshot, powerState, keptIn: kept.id })
    return state === 'active' || powerState === 'running' ? writing(serverId, volumes[0]) : {}
  })

const run = promisify(execFile)

async function tagAndWrite(file: string, tag: string, block: number, byte: number): Promise<void> {
  await run('qemu-img', ['snapshot', '-c', tag, file])
  await run('qemu-io', ['-f', 'qcow2', '-c', `write -q -P ${byte} ${block}M 1M`, file])
}

/** As an external snapshot that was deleted again leaves it: the tag alone keeps the layer. */
async function seal(world: World, { diskId, layerIds }: Volumed, content: Content): Promise<void> {
  const below = layerIds.at(-1) ?? ''
  const id = await world.planned({ parentId: below, state: 'top' })
  await makeImage(join(world.pool, `${id}.qcow2`), DISK_MIB, `${below}.qcow2`, content)
  await world.db.transaction(async (s) => {
    await s.layers.update(below, { state: 'sealed' })
    await s.disks.update(diskId, { topLayerId: id })
  })
  world.expected.set(diskId, merged(world.expected.get(diskId) ?? new Map(), content))
}

/** A snapshot with memory is taken for good first; the guest writes on; then it goes back to where it was. */
const fromMemory = (kind: SnapshotKind, state: 'active' | 'paused'): Scenario =>
  scenario('revert-server', `${kind}, with memory, ${state === 'active' ? 'running' : 'paused'}`, true, async (world) => {
    const server = await pair(world, state)
    const { serverId, volumes } = server
    const id = await take(world, server, kind, 'none', true)
    await drive(world, { operation: 'create-server-snapshot', fault: { kind: 'none' } })
    const parts = await world.db.read.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: id } } })
    const partIds = volumes.map(({ diskId }) => parts.find((part) => part.diskId === diskId)?.id ?? '')
    for (const [at, { diskId }] of volumes.entries()) world.reverted.set(diskId, world.expected.get(partIds[at] ?? '') ?? new Map())
    const { diskId } = volumes[0]
    if (state === 'active') {
      await writeInGuest(socketOf(world, serverId), deviceOf(diskId), 4, 0x71)
      world.expected.set(diskId, new Map(world.expected.get(diskId)).set(4, 0x71))
    }
    await world.db.transaction((s) => s.servers.update(serverId, { taskState: 'rebuilding' }))
    const powerState = state === 'active' ? 'running' : 'paused'
    await goBack(world, { serverId, volumes, target: { id, partIds }, powerState, keptIn: null, withMemory: true })
    return state === 'active' ? writing(serverId, volumes[0]) : {}
  })

export const REVERT_SCENARIOS: readonly Scenario[] = [
  from('active', 'running', 'running, to running'),
  from('active', 'stopped', 'running, to off'),
  from('active', 'paused', 'running, to paused'),
  from('paused', 'running', 'paused, to running'),
  from('stopped', 'stopped', 'off, to off'),
  from('stopped', 'running', 'off, to running'),
  fromTags('active', 'running', 'to tags in its disks', false),
  fromTags('stopped', 'stopped', 'off, to tags in its disks', false),
  fromTags('active', 'running', 'to tags, one of them sealed since', true),
  fromMemory('external', 'active'),
  fromMemory('external', 'paused'),
  fromMemory('internal', 'active'),
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
