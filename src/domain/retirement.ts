/**
 * What follows when pins go, foretold: the worker's `retire`, `drop-layer` and `merge-layer` acted out on copies of the
 * tables and of what the layers hold. Same rules (merge-plan.ts), same order (drops before merges, else as they were
 * asked for), so the steps are those that come, with the bytes they move.
 */
import { afterCommit, afterPull, childrenOf } from './chain.js'
import { dataIn, type Holdings, mergeCosts, missingIn, moved, newIn } from './holdings.js'
import { type MergeChild, planMerge } from './merge-plan.js'

/** A layer as the plan needs to know it: as a child it may take data or go down. */
export interface PlannedLayer extends Omit<MergeChild, 'holdsTags'> {
  readonly parentId: string | null
  readonly origin: 'disk' | 'image'
  /** Ids of all that keep it besides its children. */
  readonly pins: readonly string[]
  /** Those of them that are tags inside it. */
  readonly tagPins: readonly string[]
  /** Children that are not among the planned layers: of an image, other tenants' disks. */
  readonly othersAbove: number
  /** A merge into each of its children was asked for and put off. */
  readonly askedEach: boolean
}

export interface Forest {
  readonly layers: readonly PlannedLayer[]
  readonly held: Holdings
}

export interface Release {
  /** In the order in which they are retired. */
  readonly layerIds: readonly string[]
  /** Retired after those: what was in the way of merging them may be gone. */
  readonly belowIds?: readonly string[]
  /** Pins that go. */
  readonly pins: readonly string[]
  /** What becomes of a released layer with several children. */
  readonly several: 'share' | 'each'
}

export interface RetirementStep {
  /** commit: the layer above goes down into it. pull: its data goes up. discard: nobody needs it. wait: later. keep: it stays. */
  readonly kind: 'commit' | 'pull' | 'discard' | 'wait' | 'keep'
  readonly layerId: string
  /** pull: the layers that take its data. commit: the one that goes down. */
  readonly others: readonly string[]
  /** Bytes of data that are read in one layer and written in another. */
  readonly bytes: number
  /** New room taken by it, and room given back when it is done. */
  readonly takes: number
  readonly frees: number
  /** In a running guest, by its own QEMU. */
  readonly live: boolean
  /** Why it waits or stays. */
  readonly reason: string | null
  /** Of a layer that lost a child, not of one that was released. */
  readonly followOn: boolean
}

export interface Retirement {
  readonly steps: readonly RetirementStep[]
  readonly bytesToCopy: number
  /** Most room taken beyond what was taken before, at any one time. */
  readonly extraAtPeak: number
  /** Room given back in the end; below zero: more is taken. */
  readonly reclaimable: number
  readonly after: Forest
}

interface Task {
  readonly kind: 'drop' | 'merge'
  readonly layerId: string
  readonly several: 'share' | 'each'
  readonly followOn: boolean
}

export function foretell(forest: Forest, release: Release): Retirement {
  let { layers, held } = forest
  const gone = new Set(release.pins)
  const tasks: Task[] = []
  const steps: RetirementStep[] = []
  let [taken, peak] = [0, 0]

  for (const id of release.layerIds) retire(id, release.several, false)
  for (const id of release.belowIds ?? []) retire(id, undefined, true)
  // Dropping makes way for nothing; merges wait for it.
  for (let task = next(); task !== undefined; task = next()) (task.kind === 'drop' ? drop : merge)(task)
  const bytesToCopy = steps.reduce((bytes, step) => bytes + step.bytes, 0)
  return { steps, bytesToCopy, extraAtPeak: peak, reclaimable: 0 - taken, after: { layers, held } }

  function next(): Task | undefined {
    const at = tasks.findIndex((task) => task.kind === 'drop')
    return at < 0 ? tasks.shift() : tasks.splice(at, 1)[0]
  }

  function retire(id: string, several: 'share' | 'each' | undefined, followOn: boolean): void {
    const layer = layers.find((one) => one.id === id)
    if (layer === undefined || (layer.state !== 'sealed' && layer.state !== 'merging')) return
    if (tasks.some((task) => task.layerId === id)) return
    // What lost a child and is kept as before is no news.
    const above = childrenOf(layers, id).length + layer.othersAbove
    if (followOn && (isPinned(layer) || (layer.origin === 'image' && above > 0))) return
    const wanted = above === 1 ? 'share' : (several ?? (layer.askedEach ? 'each' : 'share'))
    const reason = whyItStays(layer, above, wanted)
    if (reason !== null) stays(layer, followOn, reason)
    else tasks.push({ kind: above === 0 ? 'drop' : 'merge', layerId: id, several: wanted, followOn })
  }

  function whyItStays(layer: PlannedLayer, above: number, several: 'share' | 'each'): string | null {
    if (isPinned(layer)) return 'something else keeps it'
    if (above === 0) return null
    if (layer.origin === 'image') return 'it holds the bytes of an image that others stand on'
    return above > 1 && several === 'share' ? `${above} layers share it until one is left` : null
  }

  function drop({ layerId, followOn }: Task): void {
    const layer = layers.find((one) => one.id === layerId)
    if (layer === undefined || childrenOf(layers, layerId).length > 0) return
    layers = layers.filter((one) => one.id !== layerId)
    told({ kind: 'discard', layerId, others: [], bytes: 0, takes: 0, frees: layer.allocated, live: false, reason: null, followOn })
    if (layer.parentId !== null) retire(layer.parentId, undefined, true)
  }

  function merge(task: Task): void {
    const { layerId, several, followOn } = task
    const layer = layers.find((one) => one.id === layerId)
    if (layer === undefined) return
    const children = childrenOf(layers, layerId)
    const above = children.map((child) => ({ ...child, holdsTags: child.tagPins.some((pin) => !gone.has(pin)) }))
    const [only] = above
    const costs = only === undefined || above.length > 1 ? undefined : mergeCosts(held, layerId, only)
    const plan = planMerge({ ...layer, isPinned: isPinned(layer), several, children: above, costs })
    if (plan.kind === 'pull') pull(layer, children, followOn)
    else if (plan.kind === 'commit') commit(layer, children, followOn)
    else if (plan.kind === 'deferred') stays(layer, followOn, plan.reason, 'wait')
    // Its last child went while it waited.
    else retire(layerId, several, followOn)
  }

  function pull(layer: PlannedLayer, children: readonly PlannedLayer[], followOn: boolean): void {
    let bytes = 0
    for (const { id } of children) {
      const missing = missingIn(held, layer.id, id)
      bytes += missing
      held = moved(held, layer.id, id, 'into')
      layers = layers.map((one) => (one.id === id ? { ...one, allocated: one.allocated + missing } : one))
    }
    layers = afterPull(layers, layer.id)
    const live = children.some((child) => child.openIn > 0)
    const others = children.map((child) => child.id)
    told({ kind: 'pull', layerId: layer.id, others, bytes, takes: bytes, frees: layer.allocated, live, reason: null, followOn })
    if (layer.parentId !== null) retire(layer.parentId, undefined, true)
  }

  function commit(layer: PlannedLayer, [top]: readonly PlannedLayer[], followOn: boolean): void {
    if (top === undefined) return
    const [bytes, takes] = [dataIn(held, top.id), newIn(held, top.id, layer.id)]
    held = moved(held, top.id, layer.id, 'from')
    const stands = { state: top.state, pins: top.pins, openIn: top.openIn, allocated: layer.allocated + takes }
    layers = afterCommit(layers, top.id).map((one) => (one.id === layer.id ? { ...one, ...stands } : one))
    const live = top.openIn > 0
    told({ kind: 'commit', layerId: layer.id, others: [top.id], bytes, takes, frees: top.allocated, live, reason: null, followOn })
  }

  function stays(layer: PlannedLayer, followOn: boolean, reason: string, kind: 'keep' | 'wait' = 'keep'): void {
    told({ kind, layerId: layer.id, others: [], bytes: 0, takes: 0, frees: 0, live: false, reason, followOn })
  }

  function told(step: RetirementStep): void {
    steps.push(step)
    taken += step.takes
    peak = Math.max(peak, taken)
    taken -= step.frees
  }

  function isPinned(layer: PlannedLayer): boolean {
    return layer.pins.some((pin) => !gone.has(pin))
  }
}
