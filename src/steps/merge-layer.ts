/**
 * Removing a layer by moving data: up into its children, or its only child's down into it.
 *
 *     before   parent ◄── gone ◄── child         pulled     parent ◄── child
 *                                                committed  parent ◄── gone (reads as child, is the disk's top)
 *
 * The pivot is the row `merging`, written before the first byte is copied: a commit spoils its base from then on, so the
 * layer is never again shown as anyone's snapshot, and everything after goes forward. Which way it goes is decided each
 * time the work begins: it stays right whatever a run before it copied, because the child shadows all it holds.
 *
 * A merge that cannot be now (the child is read by several running guests, the pool is full) is deferred: the job ends
 * with the reason in its journal and holds nothing. Seen before the pivot, the layer stays `sealed`; seen after it, it
 * stays `merging`, which reads right for all above it. The reconciler asks for it again.
 *
 * The hard case: QEMU dies around the end of a commit. Before it the child has the truth, after it the base, and the files
 * cannot tell. So the guest stands still from `job-complete` until the row that says which layer is the top (a few
 * milliseconds): within that time both have it, and doing the commit again from the child is right. A pull has no such
 * moment: what the child shows never changes, and its own header says whether it still needs the layer.
 */
import { AdapterError, unavailable, unknown } from '../domain/errors.js'
import { planMerge } from '../domain/merge-plan.js'
import { blockJobName, formatNode } from '../domain/names.js'
import type { MergeLayerInput } from '../domain/operations.js'
import type { BlockHost, BlockJob, Chain, LayerFile, Merge } from '../ports/block.js'
import { ANY, type Stores } from '../ports/stores.js'
import { chainFiles, fileOf, layerFile, readersOf } from './places.js'
import { repin } from './repin.js'
import { Yielded } from './step.js'
import type { ForwardBrick, PivotBrick, Tools } from './tools.js'

export const MARK = 'mark-merging'
export const MOVE = 'move-data'

/** What the journal row says of a merge that was put off. */
export type DeferredFacts = { readonly deferred?: string }

/** What they say of the guest's standing still: since when, and for how long. */
type PauseFacts = { readonly pausedAt?: number; readonly guestPausedMs?: number }

/** Looks before it marks: nothing is begun that could not be gone through with. */
export const markMerging = (input: MergeLayerInput): PivotBrick => ({
  kind: 'pivot',
  name: MARK,
  probe: async () => 'absent',
  async apply(_, tools) {
    const layer = await tools.db.read.layers.find(ANY, input.layerId)
    if (layer?.state !== 'sealed' && layer?.state !== 'merging') return
    // What came to stand on it while we waited in the queue is not among our locks yet.
    if (await hasGrown(tools.db.read, input)) throw new Yielded()
    const plan = await planNow(tools, input.layerId, input.children)
    if (plan.kind === 'deferred') tools.learn({ deferred: plan.reason } satisfies DeferredFacts)
  },
  async record(_, stores, { deferred }) {
    if (deferred !== undefined) return
    const layer = await stores.layers.find(ANY, input.layerId)
    if (layer === undefined) return
    const children = await stores.layers.children(input.layerId)
    const plan = planMerge({
      ...layer,
      several: input.children,
      isPinned: (await stores.layers.pins(input.layerId)).length > 0,
      allocated: 1,
      children: children.map((child) => ({ ...child, allocated: 0, openIn: 0 })),
    })
    if (plan.kind === 'pull' || plan.kind === 'commit') await stores.layers.transition(input.layerId, ['sealed'], { state: 'merging' })
  },
})

async function hasGrown(stores: Stores, { layerId, layerIds, diskIds }: MergeLayerInput): Promise<boolean> {
  const above = (await stores.layers.descendants(layerId)).map((layer) => layer.id)
  const disks = above.length === 0 ? [] : await stores.disks.list(ANY, { where: { topLayerId: { in: above } } })
  return above.some((id) => !layerIds.includes(id)) || disks.some((disk) => !diskIds.includes(disk.id))
}

export const moveData = (layerId: string): ForwardBrick => ({
  kind: 'forward',
  name: MOVE,
  resumes: true,
  // What runs or is done already is found by the work itself, child by child.
  probe: async () => 'absent',
  async apply(_, tools) {
    const layer = await tools.db.read.layers.find(ANY, layerId)
    if (layer?.state !== 'merging') return tools.learn({ way: 'none' })
    const plan = await planNow(tools, layerId, 'each')
    const pulled: string[] = []
    try {
      if (plan.kind === 'deferred') throw new Deferred(plan.reason)
      if (plan.kind === 'commit') {
        await commitDown(tools, layerId, plan.top)
        return tools.learn({ way: 'commit', top: plan.top })
      }
      for (const child of plan.kind === 'pull' ? plan.into : []) {
        await pullUp(tools, layerId, child)
        pulled.push(child)
      }
    } catch (error) {
      // A header that says another parent already must not be left behind by the tables when the locks go.
      const halfway = error instanceof Yielded && pulled.length > 0
      if (!(error instanceof Deferred) && !halfway) throw error
      if (error instanceof Deferred) tools.learn({ deferred: error.message } satisfies DeferredFacts)
    }
    tools.learn({ way: 'pull', pulled })
  },
  async record(_, stores, { way, top, pulled }) {
    const layer = await stores.layers.find(ANY, layerId)
    if (layer?.state !== 'merging') return
    if (way === 'commit') return await recordCommit(stores, layerId, String(top))
    for (const child of Array.isArray(pulled) ? pulled : []) await stores.layers.update(String(child), { parentId: layer.parentId })
    if ((await stores.layers.children(layerId)).length === 0) await stores.layers.transition(layerId, ['merging'], { state: 'dropping' })
  },
})

async function recordCommit(stores: Stores, layerId: string, top: string): Promise<void> {
  const child = await stores.layers.find(ANY, top)
  if (child === undefined) return
  for (const disk of await stores.disks.list(ANY, { where: { topLayerId: { is: top } } }))
    await stores.disks.update(disk.id, { topLayerId: layerId })
  for (const above of await stores.layers.children(top)) await stores.layers.update(above.id, { parentId: layerId })
  await repin(stores, top, layerId)
  await stores.layers.transition(layerId, ['merging'], { state: child.state, virtualSize: child.virtualSize })
  await stores.layers.transition(top, ['top', 'sealed'], { state: 'dropping' })
}

async function planNow(tools: Tools, layerId: string, several: 'share' | 'each') {
  const stores = tools.db.read
  const size = async (id: string): Promise<number> => (await tools.files.stat((await layerFile(stores, id)).path))?.allocated ?? 0
  const [layer, rows] = [await stores.layers.find(ANY, layerId), await stores.layers.children(layerId)]
  const children = await Promise.all(
    rows.map(async (child) => {
      const readers = await readersOf(tools, child.id)
      return { ...child, allocated: await size(child.id), openIn: new Set(readers.map((r) => r.guest.serverId)).size }
    }),
  )
  // A commit that runs, or ran, is gone on with: sizes have changed since it was chosen.
  const [only] = children
  const begun = only?.state === 'top' && children.length === 1 && (await commitBegun(tools, layerId, only.id))
  if (begun && only !== undefined) return { kind: 'commit', top: only.id, bytes: only.allocated } as const
  return planMerge({
    format: layer?.format ?? 'raw',
    origin: 'disk',
    isPinned: (await stores.layers.pins(layerId)).length > 0,
    allocated: await size(layerId),
    several,
    children,
  })
}

async function commitBegun(tools: Tools, layerId: string, child: string): Promise<boolean> {
  for (const { guest, topNode } of await readersOf(tools, child)) {
    const job = await guest.blocks.blockJob(blockJobName('merge', layerId))
    if (job?.type === 'commit' || topNode === formatNode(layerId)) return true
  }
  return false
}

async function pullUp(tools: Tools, layerId: string, childId: string): Promise<void> {
  const stores = tools.db.read
  const chain = await chainFiles(stores, childId)
  const [top, , base = null] = chain
  if (top === undefined) return
  const job = blockJobName('merge', childId)
  const [reader] = await readersOf(tools, childId)
  if (reader === undefined && (await standsOn(tools, [top, ...chain.slice(2)]))) return
  await onHost(tools, reader?.guest.blocks, chain, async (host) => {
    const isThrough = async (): Promise<boolean> =>
      (await host.nodes()).find((node) => node.node === formatNode(childId))?.backing !== formatNode(layerId)
    if ((await host.blockJob(job)) === undefined) {
      if (await isThrough()) return
      const root = reader === undefined ? top : await diskTop(stores, reader.diskId)
      await host.startMerge(job, root, { kind: 'stream', top, base })
    }
    try {
      await settled(
        host,
        job,
        await waitFor(tools, host, { id: job, writes: [childId], until: 'concluded' }, AbortSignal.any([tools.stop, tools.makeWay])),
      )
    } catch (error) {
      // It may have ended just as it was to make way.
      if (!(error instanceof Yielded) || !(await isThrough())) throw error
    }
  })
}

/** Do the headers say this chain already? Then the data went up before a crash, and only our rows are behind. */
async function standsOn(tools: Tools, chain: Chain): Promise<boolean> {
  try {
    await tools.files.verify(chain)
    return true
  } catch (error) {
    if (error instanceof AdapterError && error.outcome === 'refused') return false
    throw error
  }
}

async function commitDown(tools: Tools, layerId: string, childId: string): Promise<void> {
  const chain = await chainFiles(tools.db.read, childId)
  const [top, base] = chain
  if (top === undefined || base?.layerId !== layerId) return
  const id = blockJobName('merge', layerId)
  const [reader] = await readersOf(tools, childId)
  const merge: Merge = { kind: 'commit', active: true, top, base }
  await onHost(tools, reader?.guest.blocks, chain, async (host) => {
    const switched = async (): Promise<boolean> => reader !== undefined && (await host.topNode(reader.diskId)) === formatNode(layerId)
    if (await switched()) return
    let job = await host.blockJob(id)
    if (job?.status === 'concluded') {
      await host.dismissJob(id)
      job = undefined
    }
    if (job === undefined) await host.startMerge(id, top, merge)
    const guest = reader?.guest
    let pausedAt: number | undefined
    try {
      const ready = await waitFor(tools, host, { id, writes: [layerId], until: 'ready' }, AbortSignal.any([tools.stop, tools.makeWay]))
      if (ready.status === 'concluded') await settled(host, id, ready)
      pausedAt = tools.clock.now()
      if (guest !== undefined) tools.learn({ pausedAt } satisfies PauseFacts)
      await guest?.pause()
      await host.completeJob(id)
      // Beyond this there is no making way: the disk is being switched.
      await settled(host, id, await waitFor(tools, host, { id, writes: [layerId], until: 'concluded' }, tools.stop))
    } catch (error) {
      // Not when told to stop: whoever takes over finds the guest standing, and goes on from there.
      if (
        pausedAt !== undefined &&
        guest !== undefined &&
        !tools.stop.aborted &&
        !(await switched()) &&
        (await wake(tools, guest.serverId))
      )
        tools.learn({ guestPausedMs: millisSince(tools, pausedAt) } satisfies PauseFacts)
      // A commit that ended without effect leaves its base open for writing: nobody else could read it.
      if (error instanceof Yielded || error instanceof Deferred) await host.seal(layerId)
      throw error
    }
  })
}

/** Forward: the guest goes on once the tables name its top, if the tables say it should be running. */
export const wakeGuests = (diskIds: readonly string[]): ForwardBrick => ({
  kind: 'forward',
  name: 'wake-guest',
  probe: async () => 'absent',
  async apply(_, tools) {
    const disks = await tools.db.read.disks.list(ANY, { where: { id: { in: [...diskIds] } } })
    for (const serverId of new Set(disks.map((disk) => disk.serverId))) {
      if (serverId === null || !(await wake(tools, serverId))) continue
      const moved = (await tools.db.read.jobs.steps(tools.jobId)).find((step) => step.name === MOVE)
      // A run before this one that died paused it: when, nobody knows any more.
      const { pausedAt } = (moved?.facts ?? {}) as PauseFacts
      if (pausedAt !== undefined) tools.learn({ guestPausedMs: millisSince(tools, pausedAt) } satisfies PauseFacts)
    }
  },
})

const millisSince = (tools: Tools, micros: number): number => Math.max(0, (tools.clock.now() - micros) / 1000)

/** True: it stood, and runs again. */
async function wake(tools: Tools, serverId: string): Promise<boolean> {
  const server = await tools.db.read.servers.find(ANY, serverId)
  const guest = server?.vmState === 'active' ? await tools.hypervisor.find(serverId) : undefined
  if (guest === undefined || (await guest.runState()) !== 'paused') return false
  await guest.resume()
  return true
}

/** Forward: the result is in our journal now, so QEMU may forget it, and in each guest what no chain of its goes through is closed. */
export const closeMerged = (layerIds: readonly string[], diskIds: readonly string[]): ForwardBrick => ({
  kind: 'forward',
  name: 'close-merged',
  probe: async () => 'absent',
  async apply(_, tools) {
    const stores = tools.db.read
    const disks = await stores.disks.list(ANY, { where: { id: { in: [...diskIds] } } })
    for (const serverId of new Set(disks.map((disk) => disk.serverId))) {
      const host = serverId === null ? undefined : (await tools.hypervisor.find(serverId))?.blocks
      if (host === undefined) continue
      for (const layerId of layerIds) await host.dismissJob(blockJobName('merge', layerId))
      const used = new Set<string>()
      for (const { topLayerId } of await stores.disks.list(ANY, { where: { serverId: { is: serverId } } }))
        for (const layer of topLayerId === null ? [] : await stores.layers.chain(topLayerId)) used.add(layer.id)
      for (const layerId of layerIds) if (!used.has(layerId)) await host.close(layerId)
    }
  },
})

async function diskTop(stores: Stores, diskId: string): Promise<LayerFile> {
  const disk = await stores.disks.find(ANY, diskId)
  const layer = disk?.topLayerId == null ? undefined : await stores.layers.find(ANY, disk.topLayerId)
  if (layer === undefined) throw unavailable('the disk has no layer')
  return await fileOf(stores, layer)
}

/** In the guest that has the chain open, else in a storage daemon that ends with the work. */
async function onHost(tools: Tools, live: BlockHost | undefined, chain: Chain, work: (host: BlockHost) => Promise<void>): Promise<void> {
  if (live !== undefined) return await work(live)
  await tools.files.verify(chain)
  const host = await tools.offlineHosts.open(blockJobName('merge', chain[0]?.layerId ?? ''), chain)
  try {
    await work(host)
  } finally {
    await host.release()
  }
}

/** A failure is dismissed at once, to be tried again; success only once it is in our journal, but for a daemon that ends now. */
async function settled(host: BlockHost, id: string, job: BlockJob): Promise<void> {
  if (job.error !== undefined || !host.live) await host.dismissJob(id)
  if (job.error !== undefined) throw new Deferred(`the block job failed: ${job.error}`)
}

/** Not now, and not for a person to decide. */
class Deferred extends Error {}

/** Waits; makes way by ending the block job, which leaves the graph as it was. */
async function waitFor(
  tools: Tools,
  host: BlockHost,
  { id, writes, until }: { id: string; writes: readonly string[]; until: 'ready' | 'concluded' },
  signal: AbortSignal,
): Promise<BlockJob> {
  try {
    const onProgress = (job: BlockJob): void => tools.report({ bytesDone: job.current, bytesTotal: job.total })
    const job = await host.waitForJob(id, { signal, writes, onProgress, until })
    if (job === undefined) throw unknown('the block job is gone')
    return job
  } catch (error) {
    if (tools.stop.aborted || signal === tools.stop || !tools.makeWay.aborted) throw error
    await host.cancelJob(id)
    await host.dismissJob(id)
    throw new Yielded()
  }
}
