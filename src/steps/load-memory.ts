/**
 * A server's memory as one of its snapshots keeps it: looked at before anything is touched, and brought back. What comes of
 * it is a guest that stands at the instant it was captured; whoever asked sets it going. Half of it is nothing: such a guest
 * is ended and launched anew, for its disks were not written by anyone since.
 */
import { DomainError, NeedsAttention, refused } from '../domain/errors.js'
import { type MemoryState, unlike } from '../domain/memory-state.js'
import { checkpointJobName } from '../domain/names.js'
import type { Guest } from '../ports/hypervisor.js'
import { ANY } from '../ports/stores.js'
import { guestSpec } from './guest-spec.js'
import { memoryPath, memoryRow, onSlots } from './memory.js'
import { stateFile, stateTag } from './snapshot-memory.js'
import type { Tools } from './tools.js'

/** Room for what QEMU writes into a file of machine state as it reads it: tables, and no data. */
const SCRATCH = 64 * 2 ** 20

/** Is it what was saved, and may this host load it into this server? */
export async function requireSnapshotMemory(tools: Tools, serverId: string, memoryStateId: string): Promise<void> {
  const state = await tools.db.read.memoryStates.find(ANY, memoryStateId)
  if (state?.status !== 'saved' || state.binding === null) throw unloadable('it is not there')
  await requireSeal(tools, state)
  const server = await tools.db.read.servers.find(ANY, serverId)
  if (server === undefined) throw new NeedsAttention(`Server ${serverId} is not in the tables.`)
  const kept = new Map(state.binding.disks.map(({ diskId, virtualSize }) => [diskId, virtualSize]))
  // How large a disk is now does not matter: it becomes what it was.
  const disks = (await tools.db.read.disks.list(ANY, { where: { serverId: { is: serverId } } })).map(({ id }) => ({
    diskId: id,
    virtualSize: kept.get(id) ?? 0,
  }))
  const { vcpus, ramMib } = server.flavor
  const difference = unlike(state.binding, { ...(await tools.hypervisor.facts()), vcpus, ramMib, disks })
  if (difference !== undefined) throw unloadable(difference)
}

async function requireSeal(tools: Tools, state: MemoryState): Promise<void> {
  // Inside a layer there is nothing to seal: it is guarded as the disk's own bytes are.
  if (state.format === 'tag') return
  const { id, binding, keyId, mac } = state
  if (binding === null || keyId === null || mac === null) throw new NeedsAttention(`Memory state ${id} has no seal.`)
  const signal = AbortSignal.any([tools.stop, tools.cancel])
  const found = await tools.memory.check({ id, binding, keyId, mac }, await memoryPath(tools.db.read, id), { signal })
  if (found !== 'intact') throw unloadable(found === 'missing' ? 'its file is missing' : 'its file is not as it was saved')
}

const unloadable = (why: string): DomainError =>
  new DomainError('invalidState', `The memory of the snapshot cannot be loaded: ${why}. Its disks alone can be gone back to.`)

/**
 * On the disks the tables name; of an internal snapshot, whose tops hold it, those become what they were in the same act.
 * Refused: it cannot be loaded, and what was launched for it is of no use to anyone.
 */
export async function launchFromMemory(tools: Tools, serverId: string, memoryStateId: string): Promise<void> {
  const state = await memoryRow(tools.db.read, memoryStateId)
  const spec = onSlots(await guestSpec(tools, serverId), state.binding)
  for (const disk of spec.disks) await tools.files.verify(disk.chain)
  await tools.hypervisor.launch(spec, { incoming: state.format === 'stream' })
  const guest = await tools.hypervisor.find(serverId)
  if (guest === undefined) throw refused('QEMU ended as soon as it was launched')
  if (state.format === 'vmstate') return await loadState(tools, guest, state)
  if (state.format === 'tag') return await loadTag(tools, guest, state)
  await guest.loadMemory(await memoryPath(tools.db.read, memoryStateId), {
    signal: tools.stop,
    onProgress: (progress) => tools.report(progress),
  })
}

async function loadState(tools: Tools, guest: Guest, { id }: MemoryState): Promise<void> {
  const file = stateFile(id, await memoryPath(tools.db.read, id))
  const scratch = `${file.path}.scratch`
  const length = (await tools.files.stat(file.path))?.length ?? 0
  const jobId = checkpointJobName('load', id)
  await tools.files.remove(scratch)
  try {
    const virtualSize = Math.ceil(length / 65536) * 65536 + SCRATCH
    await tools.files.create({ ...file, path: scratch, virtualSize }, { ...file, format: 'raw' })
    await guest.checkpoints.loadFrom(file, scratch, { jobId, tag: stateTag({ id }) })
    await guest.checkpoints.dismiss(jobId)
  } finally {
    await tools.files.remove(scratch)
  }
}

async function loadTag(tools: Tools, guest: Guest, { id, serverSnapshotId }: MemoryState): Promise<void> {
  const parts = await tools.db.read.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: serverSnapshotId } } })
  const holders = parts.flatMap(({ layerId }) => layerId ?? [])
  const tag = parts[0]?.tag
  if (tag == null) throw new NeedsAttention(`Memory state ${id} is in no layer.`)
  const jobId = checkpointJobName('load', id)
  await guest.checkpoints.load({ jobId, tag, holders })
  await guest.checkpoints.dismiss(jobId)
}
