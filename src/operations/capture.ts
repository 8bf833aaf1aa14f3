/** What capturing disks leaves in the tables, for every operation that does it: the sealed tops, the new tops, and what was really reached. */
import { NeedsAttention } from '../domain/errors.js'
import type { Switch } from '../domain/operations.js'
import type { Consistency, ConsistencyReport, Quiesce } from '../domain/snapshot.js'
import type { Micros } from '../domain/time.js'
import { ANY, type Origin, type Stores } from '../ports/stores.js'
import { type CheckpointFacts, SAVE_CHECKPOINT } from '../steps/checkpoint.js'
import { FREEZE, type FreezeFacts } from '../steps/freeze.js'
import { KEEP_MEMORY, type KeptFacts, MEMORY, type MemoryFacts } from '../steps/snapshot-memory.js'
import type { Journal } from '../steps/step.js'
import { SWITCH } from '../steps/switch-top-layers.js'
import { TAKE_TAGS, type Tagging } from '../steps/tags.js'
import { forgetLayer, retire } from './retire.js'

/** Seals each disk's top under its overlay; returns the sealed layer by disk. */
export async function recordSwitch(stores: Stores, switches: readonly Switch[]): Promise<Map<string, string>> {
  const sealed = new Map<string, string>()
  for (const { diskId, layerId } of switches) {
    const disk = await stores.disks.find(ANY, diskId)
    if (disk?.topLayerId == null) throw new NeedsAttention(`Disk ${diskId} has no layer to seal.`)
    sealed.set(diskId, disk.topLayerId)
    await stores.layers.transition(disk.topLayerId, ['top'], { state: 'sealed' })
    await stores.layers.transition(layerId, ['planned'], { state: 'top', parentId: disk.topLayerId })
    await stores.disks.update(diskId, { topLayerId: layerId })
  }
  return sealed
}

/** Nothing is sealed by a tag: the layer of each disk that has it now. */
export async function recordTags(stores: Stores, diskIds: readonly string[]): Promise<Map<string, string>> {
  const tagged = new Map<string, string>()
  for (const diskId of diskIds) {
    const disk = await stores.disks.find(ANY, diskId)
    if (disk?.topLayerId == null) throw new NeedsAttention(`Disk ${diskId} has no layer.`)
    tagged.set(diskId, disk.topLayerId)
  }
  return tagged
}

/** Nothing was switched: the planned overlays are forgotten, and what lay below may have waited for that. */
export async function forgetPlanned(stores: Stores, layerIds: readonly string[], origin: Origin): Promise<void> {
  for (const layerId of layerIds) {
    const layer = await stores.layers.find(ANY, layerId)
    if (layer === undefined) continue
    await forgetLayer(stores, layerId)
    await retire(stores, layer.parentId, origin)
  }
}

/** `filesystem` only if as many file systems were thawed as frozen and the thaw was ours, after the transaction's reply. */
export async function reportOf(
  stores: Stores,
  journal: Journal,
  capture: { serverId: string | null; switches: readonly Switch[]; tagged?: Tagging; memoryStateId?: string; quiesce: Quiesce },
): Promise<ConsistencyReport> {
  const freeze = journal.facts(FREEZE) as FreezeFacts
  const pivot = capture.tagged === undefined ? SWITCH : TAKE_TAGS
  const disks = capture.switches.length + (capture.tagged?.diskIds.length ?? 0)
  const switched = journal.facts(pivot) as { live?: boolean; switchedIn?: number }
  const server = capture.serverId === null ? undefined : await stores.servers.find(ANY, capture.serverId)
  const live = switched.live ?? (server?.vmState === 'active' || server?.vmState === 'paused')
  const offline = !live && server?.vmState !== 'active' && server?.vmState !== 'paused'
  const frozen = freeze.frozen ?? 0
  const held = frozen > 0 && freeze.thawed === frozen && freeze.expired === false && switched.live === true && !journal.recovered(pivot)
  const memory = capture.memoryStateId === undefined ? undefined : keptMemory(journal, capture.tagged === undefined)
  const reached: Consistency = memory?.kept ? 'memory' : offline ? 'offline' : held ? 'filesystem' : disks > 1 ? 'crash_group' : 'crash'
  const wanted = capture.quiesce !== 'none' && !offline && !held && !memory?.kept
  return {
    requested: capture.quiesce,
    reached,
    degradedReason: wanted
      ? (freeze.reason ?? (frozen > 0 ? 'the guest was thawed before the disks were switched' : 'the guest was not frozen'))
      : null,
    frozenFilesystems: freeze.frozen ?? null,
    thawedFilesystems: freeze.thawed ?? null,
    frozenFor: freeze.held ?? null,
    switchedIn: switched.switchedIn ?? null,
    ...(memory === undefined ? {} : { pausedFor: memory.pausedFor }),
    // One transaction over all disks, or nobody who writes to them.
    skew: 0,
    live,
    takenAt: journal.now,
  }
}

/** Memory and disks are of one instant, so nothing need be frozen: what was on its way to a disk is in the memory. */
function keptMemory(journal: Journal, external: boolean): { kept: boolean; pausedFor: Micros | null } {
  if (!external) return { kept: true, pausedFor: (journal.facts(SAVE_CHECKPOINT) as CheckpointFacts).pausedFor ?? null }
  const { lost } = journal.facts(KEEP_MEMORY) as KeptFacts
  const { pausedFor = null } = journal.facts(MEMORY) as MemoryFacts
  return { kept: lost !== true, pausedFor }
}

const WHOLE: ReadonlySet<Consistency> = new Set(['filesystem', 'offline', 'memory'])

/** `required` is kept or the whole fails. A disk that nobody writes to needs no freezing. */
export const isBroken = (report: ConsistencyReport): boolean => report.requested === 'required' && !WHOLE.has(report.reached)
