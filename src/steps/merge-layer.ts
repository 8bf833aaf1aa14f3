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
 * The hard case, QEMU dying around the end of a commit, is in commit-active.ts. A pull has no such moment (stream-up.ts).
 */
import type { Layer } from '../domain/disk.js'
import { AdapterError } from '../domain/errors.js'
import { holdingsOf, mergeCosts } from '../domain/holdings.js'
import { type MergeChild, type MergeCosts, planMerge } from '../domain/merge-plan.js'
import { blockJobName, formatNode } from '../domain/names.js'
import type { MergeLayerInput } from '../domain/operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import { Deferred } from './block-work.js'
import { commitActive } from './commit-active.js'
import { chainFiles, layerFile, readersOf, taggedAmong, topOf } from './places.js'
import { recordCommit } from './record-commit.js'
import { Yielded } from './step.js'
import { streamUp } from './stream-up.js'
import type { ForwardBrick, PivotBrick, Tools } from './tools.js'

export const MARK = 'mark-merging'
export const MOVE = 'move-data'

/** What the journal row says of a merge that was put off. */
export type DeferredFacts = { readonly deferred?: string }

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
    const plan = await planNow(tools, input.layerId, input.children, false)
    if (plan.kind === 'deferred') tools.learn({ deferred: plan.reason } satisfies DeferredFacts)
  },
  async record(_, stores, { deferred }) {
    if (deferred !== undefined) return
    const layer = await stores.layers.find(ANY, input.layerId)
    if (layer === undefined) return
    const children = await stores.layers.children(input.layerId)
    const tagged = await taggedAmong(stores, children)
    const plan = planMerge({
      ...layer,
      several: input.children,
      isPinned: (await stores.layers.pins(input.layerId)).length > 0,
      allocated: 1,
      children: children.map((child) => ({ ...child, allocated: 0, openIn: 0, holdsTags: tagged.has(child.id) })),
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
    const plan = await planNow(tools, layerId, 'each', true)
    const pulled: string[] = []
    try {
      if (plan.kind === 'deferred') throw new Deferred(plan.reason)
      if (plan.kind === 'commit') {
        await commitDown(tools, layerId, plan.top)
        return tools.learn({ way: 'commit', top: plan.top })
      }
      for (const child of plan.kind === 'pull' ? plan.into : []) {
        await pullUp(tools, child)
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

async function planNow(tools: Tools, layerId: string, several: 'share' | 'each', looksInside: boolean) {
  const stores = tools.db.read
  const size = async (id: string): Promise<number> => (await tools.files.stat((await layerFile(stores, id)).path))?.allocated ?? 0
  const [layer, rows] = [await stores.layers.find(ANY, layerId), await stores.layers.children(layerId)]
  const tagged = await taggedAmong(stores, rows)
  const children = await Promise.all(
    rows.map(async (child) => {
      const readers = await readersOf(tools, child.id)
      const openIn = new Set(readers.map((r) => r.guest.serverId)).size
      return { ...child, allocated: await size(child.id), openIn, holdsTags: tagged.has(child.id) }
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
    // Whether it can be now is asked before it is begun; which way is cheaper, when it is.
    costs:
      !looksInside || layer === undefined || only?.state !== 'top' || children.length > 1 ? undefined : await costsOf(tools, layer, only),
  })
}

/** What the files themselves hold, as the plan a caller was shown counted it. One that cannot be read decides nothing. */
async function costsOf(tools: Tools, layer: Layer, only: MergeChild): Promise<MergeCosts | undefined> {
  try {
    const files = [await layerFile(tools.db.read, layer.id), await layerFile(tools.db.read, only.id)]
    const maps = await Promise.all(files.map(async (file) => [file.layerId, await tools.files.map(file)] as const))
    return mergeCosts(holdingsOf(new Map(maps)), layer.id, only)
  } catch (error) {
    if (error instanceof AdapterError) return undefined
    throw error
  }
}

async function commitBegun(tools: Tools, layerId: string, child: string): Promise<boolean> {
  for (const { guest, topNode } of await readersOf(tools, child)) {
    const job = await guest.blocks.blockJob(blockJobName('merge', layerId))
    if (job?.type === 'commit' || topNode === formatNode(layerId)) return true
  }
  return false
}

async function pullUp(tools: Tools, childId: string): Promise<void> {
  const stores = tools.db.read
  const chain = await chainFiles(stores, childId)
  const [top, , base = null] = chain
  if (top === undefined) return
  const [reader] = await readersOf(tools, childId)
  const root = reader === undefined ? top : await layerFile(stores, await topOf(stores, reader.diskId))
  await streamUp(tools, { id: blockJobName('merge', childId), chain, root, base, reader, heeds: 'makeWay' })
}

async function commitDown(tools: Tools, layerId: string, childId: string): Promise<void> {
  const chain = await chainFiles(tools.db.read, childId)
  const [top, base] = chain
  if (top === undefined || base?.layerId !== layerId) return
  const [reader] = await readersOf(tools, childId)
  await commitActive(tools, { id: blockJobName('merge', layerId), chain, top, base, reader, heeds: 'makeWay' })
}
