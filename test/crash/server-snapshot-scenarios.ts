/** Snapshots of whole servers, of both kinds: taken while the guest runs, stands and is off, and given up in every place of the tree. */
import { randomUUID } from 'node:crypto'
import type { VmState } from '../../src/domain/server.js'
import type { SnapshotKind } from '../../src/domain/server-snapshot.js'
import { createServerSnapshot } from '../../src/domain/server-snapshot-operations.js'
import type { Quiesce } from '../../src/domain/snapshot.js'
import { planMemory } from '../../src/services/planned-memory.js'
import { diskSnapshotRow, serverSnapshotRow } from '../support/rows.js'
import { BASE, boot, pause, type Scenario, scenario, TOP, writing } from './stage.js'
import type { Volumed, World } from './world.js'

export interface Pair {
  readonly serverId: string
  readonly volumes: readonly [Volumed, Volumed]
}

/** A server with two disks, the second of several layers. */
export async function pair(world: World, vmState: VmState): Promise<Pair> {
  const serverId = await world.server(vmState)
  const volumes = [await world.volume([BASE]), await world.volume([BASE, TOP])] as const
  for (const volume of volumes) await world.attach(serverId, volume)
  await world.snapshot(volumes[1], volumes[1].layerIds[0] ?? '', 'available')
  if (vmState !== 'stopped')
    await boot(
      world,
      serverId,
      volumes.map((volume) => volume.diskId),
    )
  if (vmState === 'paused') await pause(world, serverId)
  return { serverId, volumes }
}

/** Rows as the service writes them, and the job. */
export async function take(
  world: World,
  { serverId, volumes }: { readonly serverId: string; readonly volumes: readonly Volumed[] },
  kind: SnapshotKind,
  quiesce: Quiesce = 'none',
  withMemory = false,
): Promise<string> {
  const { projectId, userId } = world.origin()
  const id = randomUUID()
  const disks: { diskSnapshotId: string; diskId: string; layerId: string | null }[] = []
  const given = { id, projectId, userId, serverId, kind, withMemory } as const
  const snapshot = serverSnapshotRow({ ...given, powerState: null, createdAt: world.clock.now() })
  await world.db.transaction(async (s) => {
    await s.serverSnapshots.insert(snapshot)
    await s.quotas.take(projectId, id, { snapshots: 1 })
  })
  for (const { diskId, volumeId } of volumes) {
    const part = diskSnapshotRow({ projectId, serverSnapshotId: id, diskId, volumeId })
    await world.db.transaction((s) => s.diskSnapshots.insert(part))
    world.expected.set(part.id, world.expected.get(diskId) ?? new Map())
    disks.push({ diskSnapshotId: part.id, diskId, layerId: kind === 'external' ? await world.planned() : null })
  }
  const memoryStateId = withMemory ? await plannedMemory(world, id, serverId, kind) : null
  await world.enqueue(createServerSnapshot, { serverSnapshotId: id, serverId, kind, quiesce, disks, memoryStateId })
  return id
}

async function plannedMemory(world: World, serverSnapshotId: string, serverId: string, kind: SnapshotKind): Promise<string> {
  const id = randomUUID()
  const { hostId, poolId, projectId } = world
  const format = kind === 'internal' ? 'tag' : 'stream'
  const planned = { id, projectId, hostId, serverId, serverSnapshotId, format, poolId, resumeAtStart: false, wasRunning: true } as const
  await world.db.transaction((s) => planMemory(s, planned, world.clock.now()))
  return id
}

const creating = (kind: SnapshotKind, what: string, vmState: VmState, quiesce: Quiesce = 'none'): Scenario =>
  scenario('create-server-snapshot', `${kind}, ${what}`, vmState !== 'stopped', async (world) => {
    const server = await pair(world, vmState)
    await take(world, server, kind, quiesce)
    return vmState === 'active' ? writing(server.serverId, server.volumes[1]) : {}
  })

export const SERVER_SNAPSHOT_SCENARIOS: readonly Scenario[] = (['external', 'internal'] as const).flatMap((kind) => [
  creating(kind, 'live', 'active'),
  creating(kind, 'live and frozen', 'active', 'required'),
  creating(kind, 'of a paused server', 'paused'),
  creating(kind, 'of a server that is off', 'stopped', 'required'),
])
