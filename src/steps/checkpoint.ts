/**
 * A running server's memory and disks as one internal snapshot: QEMU stops the guest, writes the machine's state into the
 * top of the first disk and a tag into each, and lets the guest go on. There is no freeze around it: a frozen file system
 * would be part of the memory, and QEMU answers nobody while it saves.
 *
 * It can be undone until its row counts, so it needs no pivot. The hard case: QEMU died around it. The tags are put in last
 * and one after the other, the state is whole before the first: a file with its tag holds what it must. If all have theirs,
 * the snapshot was taken; if not, those that are there go again.
 */
import { DomainError } from '../domain/errors.js'
import { checkpointJobName, formatNode } from '../domain/names.js'
import type { Checkpoint } from '../ports/checkpoints.js'
import type { Guest } from '../ports/hypervisor.js'
import { layerFile, topOf } from './places.js'
import type { Observed } from './step.js'
import type { Tagging } from './tags.js'
import type { ForwardBrick, Tools, UndoableBrick } from './tools.js'

export const SAVE_CHECKPOINT = 'save-checkpoint'

/** What the step writes to its journal row. */
export interface CheckpointFacts {
  readonly live?: true
  /** How long the guest stood; null: nobody saw it go on. */
  readonly pausedFor?: number | null
}

export interface Checkpointing extends Tagging {
  readonly serverId: string
  /** Names QEMU's jobs, and is the row the memory is written down in. */
  readonly memoryStateId: string
}

export const saveCheckpoint = (wanted: Checkpointing): UndoableBrick => ({
  kind: 'undoable',
  name: SAVE_CHECKPOINT,
  async probe(_, tools): Promise<Observed> {
    const guest = await tools.hypervisor.find(wanted.serverId)
    const job = await guest?.checkpoints.job(checkpointJobName('save', wanted.memoryStateId))
    if (job === 'running') return 'running'
    const tagged = guest === undefined ? await taggedFiles(tools, wanted) : await taggedNodes(tools, guest, wanted)
    if (job === 'failed' || tagged.some((one) => one !== tagged[0])) return 'partial'
    if (tagged.every(Boolean)) return 'done'
    // What a QEMU that was killed had begun to write may still be counted in its files.
    return guest === undefined ? 'partial' : 'absent'
  },
  async apply(_, tools) {
    const guest = await withMemory(tools, wanted.serverId)
    await requireAllDisks(guest, wanted.diskIds)
    const wasRunning = (await guest.runState()) === 'running'
    const seen = await guest.checkpoints.save(await checkpointOf(tools, 'save', wanted))
    tools.learn({ live: true, pausedFor: wasRunning ? (seen ?? null) : 0, wasRunning })
  },
  async undo(_, tools) {
    const guest = await tools.hypervisor.find(wanted.serverId)
    if (guest !== undefined) {
      const { jobId } = await checkpointOf(tools, 'save', wanted)
      // One that is still at it ends first: asking is waiting.
      if ((await guest.checkpoints.job(jobId)) !== 'absent') await guest.checkpoints.dismiss(jobId)
      return await guest.checkpoints.remove(await checkpointOf(tools, 'delete', wanted))
    }
    for (const diskId of wanted.diskIds) {
      const file = await layerFile(tools.db.read, await topOf(tools.db.read, diskId))
      await tools.files.mend(file)
      await tools.files.untag(file, wanted.tag)
    }
  },
  async record(_, stores, facts) {
    const { wasRunning } = facts as { wasRunning?: boolean }
    await stores.memoryStates.update(wanted.memoryStateId, { format: 'tag', ...(wasRunning === undefined ? {} : { wasRunning }) })
  },
})

/** The result is in the journal: QEMU may forget how it ended. */
export const recordCheckpoint = (wanted: Checkpointing): ForwardBrick => ({
  kind: 'forward',
  name: 'record-checkpoint',
  probe: async () => 'absent',
  async apply(_, tools) {
    const guest = await tools.hypervisor.find(wanted.serverId)
    await guest?.checkpoints.dismiss(checkpointJobName('save', wanted.memoryStateId))
  },
  record: async (_, stores) => void (await stores.memoryStates.transition(wanted.memoryStateId, ['planned'], { status: 'saved' })),
})

/** A guest that has any memory: one that powered itself off, or was never started, has none to keep. */
export async function withMemory(tools: Tools, serverId: string): Promise<Guest> {
  const guest = await tools.hypervisor.find(serverId)
  if (guest === undefined || (await guest.runState()) === 'shutdown')
    throw new DomainError('invalidState', 'The server does not run: it has no memory that could be kept.')
  return guest
}

/** Brought back beside a disk that has gone on, memory would destroy what is on it. */
export async function requireAllDisks(guest: Guest, diskIds: readonly string[]): Promise<void> {
  if ((await guest.devices()).some((diskId) => !diskIds.includes(diskId)))
    throw new DomainError('invalidState', 'Memory is kept with all disks of the server, or not at all.')
}

async function checkpointOf(tools: Tools, what: 'save' | 'delete', wanted: Checkpointing): Promise<Checkpoint> {
  const holders = await Promise.all(wanted.diskIds.map((diskId) => topOf(tools.db.read, diskId)))
  return { jobId: checkpointJobName(what, wanted.memoryStateId), tag: wanted.tag, holders }
}

async function taggedNodes(tools: Tools, guest: Guest, { diskIds, tag }: Checkpointing): Promise<boolean[]> {
  const nodes = await guest.blocks.nodes()
  const tops = await Promise.all(diskIds.map((diskId) => topOf(tools.db.read, diskId)))
  return tops.map((top) => nodes.some((one) => one.node === formatNode(top) && one.tags.includes(tag)))
}

async function taggedFiles(tools: Tools, { diskIds, tag }: Checkpointing): Promise<boolean[]> {
  const tagged: boolean[] = []
  for (const diskId of diskIds) {
    const file = await layerFile(tools.db.read, await topOf(tools.db.read, diskId))
    await tools.files.mend(file)
    tagged.push((await tools.files.tags(file)).includes(tag))
  }
  return tagged
}
