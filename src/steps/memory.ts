/**
 * A guest's memory saved to a file and brought back. The guest is stopped first, so that the file and the disks are of one
 * instant and nothing is copied twice; from then on nobody may resume it or change its disks but this job, until the file
 * either counts or is gone. So a file found under its name is whole and true, whether QEMU still lives or not.
 */
import { DomainError, NeedsAttention, refused } from '../domain/errors.js'
import { type MemoryBinding, type MemoryState, unlike } from '../domain/memory-state.js'
import type { Server } from '../domain/server.js'
import type { Guest, GuestDisk, GuestSpec, RunState } from '../ports/hypervisor.js'
import { ANY, type Stores } from '../ports/stores.js'
import { guestSpec } from './guest-spec.js'
import type { ForwardBrick, Tools, UndoableBrick } from './tools.js'

/** Of one that was stopped or paused, or stands after its memory was saved. */
const STANDING: readonly RunState[] = ['prelaunch', 'paused', 'postmigrate']

export async function memoryRow(stores: Stores, id: string): Promise<MemoryState> {
  const state = await stores.memoryStates.find(ANY, id)
  if (state === undefined) throw new NeedsAttention(`Memory state ${id} is not in the tables.`)
  return state
}

export async function memoryPath(stores: Stores, id: string): Promise<string> {
  const { poolId, fileName } = await memoryRow(stores, id)
  const pool = await stores.pools.find(ANY, poolId)
  if (pool === undefined) throw new NeedsAttention(`Pool ${poolId} is not in the tables.`)
  return `${pool.path}/${fileName}`
}

async function serverRow(stores: Stores, id: string): Promise<Server> {
  const server = await stores.servers.find(ANY, id)
  if (server === undefined) throw new NeedsAttention(`Server ${id} is not in the tables.`)
  return server
}

async function running(tools: Tools, serverId: string): Promise<Guest> {
  const guest = await tools.hypervisor.find(serverId)
  if (guest === undefined) throw refused('QEMU ended while the memory was being saved')
  return guest
}

/** Changes nothing: what the memory will be bound to goes into its row. */
export const bindMemory = (serverId: string, memoryStateId: string): UndoableBrick => ({
  kind: 'undoable',
  name: 'bind-memory',
  probe: async () => 'absent',
  async apply(_, tools) {
    const guest = await running(tools, serverId)
    if ((await guest.runState()) === 'shutdown') throw new DomainError('invalidState', 'The guest has shut itself down.')
    const { slots, ...machine } = await guest.facts()
    const { flavor } = await serverRow(tools.db.read, serverId)
    const disks = await tools.db.read.disks.list(ANY, { where: { id: { in: Object.keys(slots) } } })
    const binding: MemoryBinding = {
      ...machine,
      vcpus: flavor.vcpus,
      ramMib: flavor.ramMib,
      disks: disks.map(({ id, virtualSize }) => ({ diskId: id, virtualSize, slot: slots[id] ?? null })),
    }
    tools.learn({ binding })
  },
  undo: async () => {},
  async record(_, stores, facts) {
    await stores.memoryStates.update(memoryStateId, { binding: (facts as { binding: MemoryBinding }).binding })
  },
})

/** Undone, a server that ran goes on. */
export const standStill = (serverId: string): UndoableBrick => ({
  kind: 'undoable',
  name: 'stand-still',
  async probe(_, tools) {
    const state = await (await tools.hypervisor.find(serverId))?.runState()
    return state !== undefined && STANDING.includes(state) ? 'done' : 'absent'
  },
  apply: async (_, tools) => await (await running(tools, serverId)).pause(),
  async undo(_, tools) {
    if ((await serverRow(tools.db.read, serverId)).vmState !== 'active') return
    const guest = await tools.hypervisor.find(serverId)
    if (guest !== undefined && STANDING.includes(await guest.runState())) await guest.resume()
  },
})

export const saveMemory = (serverId: string, memoryStateId: string): UndoableBrick => ({
  kind: 'undoable',
  name: 'save-memory',
  probe: async (_, tools) => await tools.memory.probe(await memoryPath(tools.db.read, memoryStateId)),
  async apply(_, tools) {
    const path = await memoryPath(tools.db.read, memoryStateId)
    const guest = await running(tools, serverId)
    // Nothing of an earlier attempt may pass for what the guest is from here on.
    await tools.memory.remove(path)
    // After a save that came to nothing QEMU takes no other before the guest has run, be it for an instant.
    if ((await guest.runState()) === 'postmigrate') {
      await guest.resume()
      await guest.pause()
    }
    const signal = AbortSignal.any([tools.stop, tools.cancel])
    await guest.saveMemory(path, { signal, onProgress: (progress) => tools.report(progress) })
    await tools.memory.publish(path)
  },
  async undo(_, tools) {
    await (await tools.hypervisor.find(serverId))?.cancelSave()
    // Before the guest goes on: what is left under that name would pass for its memory.
    await tools.memory.remove(await memoryPath(tools.db.read, memoryStateId))
  },
})

export const sealMemory = (memoryStateId: string): UndoableBrick => ({
  kind: 'undoable',
  name: 'seal-memory',
  probe: async () => 'absent',
  async apply(_, tools) {
    const { id, binding } = await memoryRow(tools.db.read, memoryStateId)
    if (binding === null) throw new NeedsAttention(`Memory state ${id} is bound to nothing.`)
    const signal = AbortSignal.any([tools.stop, tools.cancel])
    tools.learn({ ...(await tools.memory.seal({ id, binding }, await memoryPath(tools.db.read, id), { signal })) })
  },
  undo: async () => {},
  async record(_, stores, facts) {
    const { keyId, mac, size } = facts as { keyId: string; mac: string; size: number }
    await stores.memoryStates.update(memoryStateId, { keyId, mac, size })
  },
})

/** Before anything is touched: is it what was saved, and may this host load it? */
export const checkMemory = (serverId: string, memoryStateId: string): UndoableBrick => ({
  kind: 'undoable',
  name: 'check-memory',
  probe: async () => 'absent',
  async apply(_, tools) {
    const signal = AbortSignal.any([tools.stop, tools.cancel])
    await requireLoadable(tools, serverId, memoryStateId, signal)
  },
  undo: async () => {},
})

async function requireLoadable(tools: Tools, serverId: string, memoryStateId: string, signal: AbortSignal): Promise<void> {
  const state = await tools.db.read.memoryStates.find(ANY, memoryStateId)
  if (state?.status !== 'saved') throw new DomainError('invalidState', 'The saved memory of the server was given up.')
  const { id, binding, keyId, mac } = state
  if (binding === null || keyId === null || mac === null) throw new NeedsAttention(`Memory state ${id} has no seal.`)
  const found = await tools.memory.check({ id, binding, keyId, mac }, await memoryPath(tools.db.read, id), { signal })
  if (found !== 'intact')
    throw unloadable(found === 'missing' ? 'the file of its memory is missing' : 'the file of its memory is not as it was saved')
  const { flavor } = await serverRow(tools.db.read, serverId)
  const disks = await tools.db.read.disks.list(ANY, { where: { serverId: { is: serverId } } })
  const now = {
    ...(await tools.hypervisor.facts()),
    vcpus: flavor.vcpus,
    ramMib: flavor.ramMib,
    disks: disks.map((disk) => ({ diskId: disk.id, virtualSize: disk.virtualSize })),
  }
  const difference = unlike(binding, now)
  if (difference !== undefined) throw unloadable(difference)
}

const unloadable = (why: string): DomainError =>
  new DomainError(
    'invalidState',
    `The saved state of the server cannot be loaded: ${why}. Discard it, and the server starts from power-off.`,
  )

/** The guest as it was saved, standing. Half of it is nothing: it is ended, and done anew. */
export const bringBack = (serverId: string, memoryStateId: string): UndoableBrick => ({
  kind: 'undoable',
  name: 'bring-back-guest',
  async probe(_, tools) {
    if (!(await tools.hypervisor.isRunning(serverId))) return 'absent'
    const guest = await tools.hypervisor.find(serverId).catch(() => undefined)
    const state = await guest?.runState().catch(() => undefined)
    return state === undefined || state === 'inmigrate' ? 'partial' : 'done'
  },
  async apply(_, tools) {
    const { binding } = await memoryRow(tools.db.read, memoryStateId)
    const spec = onSlots(await guestSpec(tools, serverId), binding)
    for (const disk of spec.disks) await tools.files.verify(disk.chain)
    await tools.hypervisor.launch(spec, { incoming: true })
    const guest = await running(tools, serverId)
    const signal = AbortSignal.any([tools.stop, tools.cancel])
    await guest.loadMemory(await memoryPath(tools.db.read, memoryStateId), { signal, onProgress: (progress) => tools.report(progress) })
  },
  undo: async (_, tools) => await tools.hypervisor.kill(serverId),
})

export const onSlots = (spec: GuestSpec, binding: MemoryBinding | null): GuestSpec => ({
  ...spec,
  disks: spec.disks.map((disk): GuestDisk => {
    const slot = binding?.disks.find(({ diskId }) => diskId === disk.diskId)?.slot
    return slot == null ? disk : { ...disk, slot }
  }),
})

export const GO_ON = 'go-on'

/** After the pivot: a QEMU that was lost since then cannot be brought back, for nobody knows whether its guest ran. */
export const goOn = (serverId: string, memoryStateId: string): ForwardBrick => ({
  kind: 'forward',
  name: GO_ON,
  probe: async () => 'absent',
  async apply(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    const { wasRunning } = await memoryRow(tools.db.read, memoryStateId)
    if (guest === undefined) {
      await tools.hypervisor.kill(serverId)
      return tools.learn({ lost: true })
    }
    const state = await guest.runState()
    // One that stood for want of room tries its write again; one that has shut itself down since is the reconciler's to find.
    if (wasRunning && (STANDING.includes(state) || state === 'io-error')) await guest.resume()
    tools.learn({ runs: wasRunning })
  },
})

/** What the tables no longer count on. */
export const dropMemory = (memoryStateIds: (stores: Stores) => Promise<readonly string[]>): ForwardBrick => ({
  kind: 'forward',
  name: 'drop-memory',
  probe: async () => 'absent',
  async apply(_, tools) {
    for (const id of await memoryStateIds(tools.db.read)) await tools.memory.remove(await memoryPath(tools.db.read, id))
  },
})
