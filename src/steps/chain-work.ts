/**
 * What moving a chain's data begins and ends with, whichever way it goes: what stands in the way, room for what may have to
 * be written, and, where it comes to nothing, a guest that runs as before with no block job left in it.
 */
import { dirname } from 'node:path'
import type { ChainLink, Obstacle } from '../domain/chain-rules.js'
import { DomainError, refused } from '../domain/errors.js'
import { ANY } from '../ports/stores.js'
import { Deferred } from './block-work.js'
import { closeUnused } from './close-layers.js'
import { fileOf, type LiveDisk, liveDisk } from './places.js'
import type { ForwardBrick, Tools } from './tools.js'
import { wake } from './wake-guest.js'

/** A failed write for want of room leaves at most so much. */
const FULL = 2 * 1024 * 1024
const MIB = 1024 * 1024

/** The disk's chain as it is now. A disk that was deleted while the job made way has none. */
export async function linksOf(tools: Tools, diskId: string): Promise<ChainLink[]> {
  const disk = await tools.db.read.disks.find(ANY, diskId)
  if (disk?.topLayerId == null) throw new DomainError('invalidState', 'The disk is not there any more.')
  return await tools.db.read.layers.links(disk.topLayerId)
}

export const isGone = async (tools: Tools, diskId: string): Promise<boolean> =>
  (await tools.db.read.disks.find(ANY, diskId))?.topLayerId == null

export function refuseFor(obstacle: Obstacle | undefined): void {
  if (obstacle !== undefined) throw new DomainError('invalidState', obstacle.sentence)
}

/** Room for all these layers hold, but never more than `atMost`, where `path` lies. */
export async function needRoom(tools: Tools, layers: readonly ChainLink['layer'][], path: string, atMost: number): Promise<void> {
  let bytes = 0
  for (const layer of layers) bytes += (await tools.files.stat((await fileOf(tools.db.read, layer)).path))?.allocated ?? 0
  const needed = Math.min(bytes, Math.max(0, atMost))
  const free = await tools.files.free(dirname(path))
  if (needed <= free) return
  const [mib, left] = [Math.ceil(needed / MIB), Math.floor(free / MIB)]
  throw new DomainError('invalidState', `Up to ${mib} MiB may have to be written, and the storage pool has ${left} MiB left.`)
}

/** A block job that failed for want of room; its own words are for operators. */
export async function whyFailed(tools: Tools, path: string, error: unknown): Promise<unknown> {
  if (!(error instanceof Deferred)) return error
  const free = await tools.files.free(dirname(path)).catch(() => Number.POSITIVE_INFINITY)
  return refused(error.message, { cause: error, ...(free < FULL ? { reason: 'no-space' as const } : {}) })
}

/** Undoing: no block job is left, and the guest goes on. The disk's guest, if it has one that runs; a storage daemon ended with its work. */
export async function letGo(tools: Tools, diskId: string, id: string): Promise<LiveDisk | undefined> {
  const live = (await isGone(tools, diskId)) ? undefined : await liveDisk(tools, diskId)
  if (live === undefined) return undefined
  await live.guest.blocks.cancelJob(id)
  await live.guest.blocks.dismissJob(id)
  await wake(tools, live.guest.serverId)
  return live
}

/** What a step that moved data says in its journal: layers that some guest may have open and need no more. */
export type MovedFacts = { readonly layers: readonly string[] }

export const closeMoved = (movedBy: string, diskIds: readonly string[]): ForwardBrick => ({
  kind: 'forward',
  name: 'close-moved',
  probe: async () => 'absent',
  async apply(_, tools) {
    const moved = (await tools.db.read.jobs.steps(tools.jobId)).find((step) => step.name === movedBy)
    const { layers = [] } = (moved?.facts ?? {}) as Partial<MovedFacts>
    await closeUnused(tools, layers, diskIds)
  },
})
