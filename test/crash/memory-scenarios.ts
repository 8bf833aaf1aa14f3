/** Memory saved, restored and given up: killed at every gap, with QEMU lost amid the stream, and on a full pool. */
import { randomUUID } from 'node:crypto'
import * as memory from '../../src/domain/memory-operations.js'
import { memoryFileName } from '../../src/domain/names.js'
import * as ops from '../../src/domain/operations.js'
import { drive } from './engine.js'
import { BASE, type Scenario, scenario, served, TOP, writing } from './stage.js'
import type { Volumed, World } from './world.js'

interface Saving {
  readonly serverId: string
  readonly volume: Volumed
  readonly input: memory.SaveServerInput
}

/** A guest that is about to be saved. */
async function saving(world: World, state: 'active' | 'paused', becomes: 'suspended' | 'stopped'): Promise<Saving> {
  const { serverId, volume } = await served(world, state, [BASE, TOP], 'suspending')
  await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
  const id = randomUUID()
  const row = { id, projectId: world.projectId, hostId: world.hostId, serverId, serverSnapshotId: null, poolId: world.poolId } as const
  const unknown = { size: null, mac: null, keyId: null, binding: null }
  const createdAt = world.clock.now()
  await world.db.transaction(async (s) => {
    const planned = { format: 'stream', status: 'planned', fileName: memoryFileName(id), resumeAtStart: false, wasRunning: true } as const
    await s.memoryStates.insert({ ...row, ...planned, ...unknown, createdAt })
    const location = `${world.pool}/${memoryFileName(id)}`
    const owner = { ownerType: 'memory_state', ownerId: id } as const
    await s.artefacts.insert({ id: `memory:${id}`, kind: 'memory-file', hostId: world.hostId, location, ...owner, createdAt })
  })
  return { serverId, volume, input: { serverId, diskIds: [volume.diskId], memoryStateId: id, becomes } }
}

/** One that was saved, by the engine itself. */
async function saved(world: World, state: 'active' | 'paused', becomes: 'suspended' | 'stopped' = 'suspended'): Promise<Saving> {
  const found = await saving(world, state, becomes)
  await world.enqueue(memory.saveServer, found.input)
  await drive(world, { operation: memory.saveServer.name, fault: { kind: 'none' } })
  return found
}

const restoring = (what: string, state: 'active' | 'paused'): Scenario =>
  scenario('restore-server', what, true, async (world) => {
    const { serverId, volume, input } = await saved(world, state)
    await world.db.transaction((s) => s.servers.update(serverId, { taskState: 'resuming' }))
    await world.enqueue(memory.restoreServer, { serverId, diskIds: input.diskIds, memoryStateId: input.memoryStateId })
    return state === 'active' ? writing(serverId, volume) : {}
  })

export const MEMORY_SCENARIOS: readonly Scenario[] = [
  scenario('save-server', 'running', true, async (world) => {
    const { serverId, volume, input } = await saving(world, 'active', 'suspended')
    await world.enqueue(memory.saveServer, input)
    return writing(serverId, volume)
  }),
  scenario('save-server', 'paused', true, async (world) => {
    const { input } = await saving(world, 'paused', 'stopped')
    await world.enqueue(memory.saveServer, input)
    return {}
  }),
  restoring('that ran', 'active'),
  restoring('that was paused', 'paused'),
  scenario('discard-saved', 'of a server that is off', false, async (world) => {
    const { serverId, input } = await saved(world, 'active', 'stopped')
    await world.db.transaction((s) => s.memoryStates.update(input.memoryStateId, { status: 'planned' }))
    await world.enqueue(memory.discardSaved, { serverId, diskIds: input.diskIds, memoryStateId: input.memoryStateId })
    return {}
  }),
  scenario('delete-server', 'with a saved state', false, async (world) => {
    const { serverId, input } = await saved(world, 'active')
    await world.db.transaction((s) => s.servers.update(serverId, { taskState: 'deleting' }))
    await world.enqueue(ops.deleteServer, { serverId, diskIds: input.diskIds })
    return {}
  }),
]
