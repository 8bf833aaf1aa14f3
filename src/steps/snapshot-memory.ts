/**
 * A server's memory beside its disks' overlays, of one instant with them and in a file of its own.
 *
 * One that runs is copied while it runs, and stands only for the last of it (run state `postmigrate`), the switch of the
 * disks, and nothing else: the copy is made durable, named and sealed when the guest runs again. One that is paused cannot
 * take that way, for out of `postmigrate` it would have to run for an instant. Nothing moves in it, so QEMU writes its state
 * into a small qcow2 of its own before the switch, and it stays as it is.
 *
 * Which of the two it is stands in the row from the beginning. The hard case: QEMU died around the switch. The disks are
 * then taken for switched, and whether the copy is whole nobody knows: it is given up, and with it the snapshot.
 */
import { NeedsAttention } from '../domain/errors.js'
import type { MemoryState } from '../domain/memory-state.js'
import { checkpointJobName, tagName } from '../domain/names.js'
import type { LayerFile } from '../ports/block.js'
import type { Guest } from '../ports/hypervisor.js'
import { requireAllDisks, withMemory } from './checkpoint.js'
import { memoryPath, memoryRow } from './memory.js'
import type { ForwardBrick, GuardBrick, Tools, UndoableBrick } from './tools.js'

export interface MemoryCapture {
  readonly serverId: string
  readonly memoryStateId: string
  /** The disks that are captured with it. */
  readonly diskIds: readonly string[]
}

/** Bytes the guest is shown of a file that holds machine state alone. */
const NO_DISK = 1024 * 1024

export const prepareMemory = ({ serverId, memoryStateId, diskIds }: MemoryCapture): UndoableBrick => ({
  kind: 'undoable',
  name: 'prepare-memory',
  probe: async () => 'partial',
  async apply(_, tools) {
    const guest = await withMemory(tools, serverId)
    await requireAllDisks(guest, diskIds)
    const wasRunning = (await guest.runState()) === 'running'
    if (!wasRunning) await saveState(tools, guest, memoryStateId)
    tools.learn({ wasRunning })
  },
  async undo(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    if (guest !== undefined) {
      await guest.cancelSave()
      await closeState(guest, memoryStateId)
    }
    await tools.memory.remove(await memoryPath(tools.db.read, memoryStateId))
  },
  async record(_, stores, facts) {
    const { wasRunning } = facts as { wasRunning: boolean }
    await stores.memoryStates.update(memoryStateId, { wasRunning, format: wasRunning ? 'stream' : 'vmstate' })
  },
})

export const MEMORY = 'memory'

/** What the guard writes to its journal row. */
export interface MemoryFacts {
  /** From the guest's stop until it was told to go on. */
  readonly pausedFor?: number
}

/** Around the switch: the guest stands, its memory is copied. Left, it runs as before. */
export function memoryGuard({ serverId, memoryStateId }: MemoryCapture): GuardBrick {
  let stoppedAt: number | undefined
  return {
    name: MEMORY,
    async enter(_, tools) {
      const { format } = await memoryRow(tools.db.read, memoryStateId)
      if (format !== 'stream') return
      const path = await memoryPath(tools.db.read, memoryStateId)
      const guest = await withMemory(tools, serverId)
      const signal = AbortSignal.any([tools.stop, tools.cancel])
      const { stoppedForMicros } = await guest.saveMemory(path, { signal, goesOn: true, onProgress: (done) => tools.report(done) })
      stoppedAt = tools.clock.monotonic() - stoppedForMicros
    },
    async leave(_, tools) {
      const { format, wasRunning } = await memoryRow(tools.db.read, memoryStateId)
      const guest = await tools.hypervisor.find(serverId)
      if (guest === undefined || format !== 'stream' || !wasRunning) return
      if (stoppedAt === undefined) await guest.cancelSave()
      const state = await guest.runState()
      // One that stands for its own reasons (a full pool, an end of its own) is left standing.
      if (state === 'postmigrate' || state === 'paused') await guest.resume()
      if (stoppedAt !== undefined) tools.learn({ pausedFor: tools.clock.monotonic() - stoppedAt } satisfies MemoryFacts)
      stoppedAt = undefined
    },
  }
}

export const KEEP_MEMORY = 'keep-memory'

/** What the journal says of it: the seal, or that there is nothing to keep. */
export type KeptFacts = { readonly lost?: true; readonly keyId?: string; readonly mac?: string; readonly size?: number }

/** The guest runs (or stands) as before: now the copy is made durable, named and sealed. */
export const keepMemory = ({ serverId, memoryStateId }: MemoryCapture): ForwardBrick => ({
  kind: 'forward',
  name: KEEP_MEMORY,
  probe: async () => 'absent',
  async apply(_, tools) {
    const path = await memoryPath(tools.db.read, memoryStateId)
    const state = await memoryRow(tools.db.read, memoryStateId)
    if (state.binding === null) throw new NeedsAttention(`Memory state ${memoryStateId} is bound to nothing.`)
    const guest = await tools.hypervisor.find(serverId)
    const found = await tools.memory.probe(path)
    // A QEMU that lives has seen the switch, and before that the end of the copy. One that has gone may have gone amid it.
    if (found === 'absent' || (found === 'partial' && guest === undefined)) {
      await tools.memory.remove(path)
      return tools.learn({ lost: true } satisfies KeptFacts)
    }
    await tools.memory.publish(path)
    const seal = await tools.memory.seal({ id: state.id, binding: state.binding }, path, { signal: tools.stop })
    tools.learn({ ...seal } satisfies KeptFacts)
  },
  async record(_, stores, facts) {
    const { lost, keyId, mac, size } = facts as KeptFacts
    if (lost === true || keyId === undefined || mac === undefined || size === undefined) return
    await stores.memoryStates.transition(memoryStateId, ['planned'], { status: 'saved', keyId, mac, size })
  },
})

/** A file of machine state as QEMU has it open: named like a layer, after the state's id. */
export const stateFile = (memoryStateId: string, path: string): LayerFile => ({
  layerId: memoryStateId,
  path,
  format: 'qcow2',
  virtualSize: NO_DISK,
})

/** The tag in that file. */
export const stateTag = ({ id }: Pick<MemoryState, 'id'>): string => tagName(id)

async function saveState(tools: Tools, guest: Guest, memoryStateId: string): Promise<void> {
  const path = await memoryPath(tools.db.read, memoryStateId)
  const file = stateFile(memoryStateId, `${path}.part`)
  await closeState(guest, memoryStateId)
  await tools.memory.remove(path)
  await tools.files.create(file, null)
  await guest.blocks.open(file, null, { writable: true })
  const jobId = checkpointJobName('save', memoryStateId)
  await guest.checkpoints.save({ jobId, tag: stateTag({ id: memoryStateId }), holders: [memoryStateId] })
  await closeState(guest, memoryStateId)
  await tools.memory.publish(path)
}

async function closeState(guest: Guest, memoryStateId: string): Promise<void> {
  await guest.checkpoints.dismiss(checkpointJobName('save', memoryStateId))
  await guest.blocks.close(memoryStateId)
}
