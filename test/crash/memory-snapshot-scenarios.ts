/** Snapshots of servers with their memory: copied while the guest runs, written while it is paused, or inside its disks. */
import type { VmState } from '../../src/domain/server.js'
import type { SnapshotKind } from '../../src/domain/server-snapshot.js'
import { pair, take } from './server-snapshot-scenarios.js'
import { type Scenario, scenario, writing } from './stage.js'

const withMemory = (kind: SnapshotKind, what: string, vmState: VmState): Scenario =>
  scenario('create-server-snapshot', `${kind}, with memory, ${what}`, true, async (world) => {
    const server = await pair(world, vmState)
    await take(world, server, kind, 'none', true)
    return vmState === 'active' ? writing(server.serverId, server.volumes[1]) : {}
  })

export const MEMORY_SNAPSHOT_SCENARIOS: readonly Scenario[] = (['external', 'internal'] as const).flatMap((kind) => [
  withMemory(kind, 'live', 'active'),
  withMemory(kind, 'of a paused server', 'paused'),
])
