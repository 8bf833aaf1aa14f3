/**
 * A scene: what the tables say of a server's storage, as far as a plan needs to know; and per tree of layers, what letting
 * go of some of them comes to. Pure; the rules of merging are foretell's (retirement.ts), not repeated here.
 */
import { chainOf, descendantsOf } from './chain.js'
import type { Disk, Layer } from './disk.js'
import type { Holdings } from './holdings.js'
import type { MemoryState } from './memory-state.js'
import { foretell, type PlannedLayer, type Release, type Retirement, type RetirementStep } from './retirement.js'
import type { Server } from './server.js'
import type { DiskSnapshot, ServerSnapshot } from './server-snapshot.js'

export interface Scene {
  readonly server: Server
  /** Oldest first. */
  readonly snapshots: readonly ServerSnapshot[]
  readonly parts: readonly DiskSnapshot[]
  readonly memory: readonly MemoryState[]
  /** The server's own, and any other that stands on one of the layers. */
  readonly disks: readonly Disk[]
  /** All of the trees the server's disks and snapshots stand in, and the images below. */
  readonly layers: readonly Layer[]
  /** By layer, of those that may be let go of: ids of all that keep it besides its children. */
  readonly pins: Readonly<Record<string, readonly string[]>>
  /** By layer: children that are not among `layers`. */
  readonly othersAbove: Readonly<Record<string, number>>
  /** Layers of which a merge into each child was asked for before. */
  readonly askedEach: readonly string[]
  /** Servers with a guest that runs or stands paused. */
  readonly running: readonly string[]
}

export interface Measures {
  readonly held: Holdings
  readonly allocated: Readonly<Record<string, number | null>>
}

export interface LetGo {
  /** On whose account. */
  readonly diskId: string
  readonly layerId: string
  /** What is given up is a tag inside it. */
  readonly isTag?: boolean
  /** Not given up itself: a merge of it may be possible now. */
  readonly isBelow?: boolean
}

/** Layers that are let go of, in the order in which they are retired. */
export interface Letting extends Pick<Release, 'pins' | 'several'> {
  readonly layers: readonly LetGo[]
}

export interface DiskPlan {
  readonly diskId: string
  /** Other disks whose layers are of the same tree, and planned together with it. */
  readonly sharedWith: readonly string[]
  /** The most telling of the steps that were asked for. */
  readonly direction: RetirementStep['kind']
  readonly reason: string | null
  readonly steps: readonly RetirementStep[]
  readonly bytesToCopy: number
  readonly extraAtPeak: number
  readonly reclaimable: number
  /** Seconds the guest stands still for it. */
  readonly pause: number
}

/** A live commit ends with a pause until the row of its new top is written. */
const PIVOT_SECONDS = 0.01

/** The lowest layer of a chain that is no image's: what stands on it is one tree. */
export function treeOf({ layers }: Pick<Scene, 'layers'>, layerId: string): string {
  const chain = chainOf(layers, layerId)
  return chain.findLast((layer) => layer.origin === 'disk')?.id ?? layerId
}

/**
 * Layers whose data may be moved, whatever the order of merges: the released ones, those below that nobody would keep
 * then, and whoever stands on them.
 */
export function touchedBy(scene: Scene, { layers, pins }: Pick<Letting, 'layers' | 'pins'>): Set<string> {
  const gone = new Set(pins)
  const candidates = new Set<string>()
  for (const { layerId } of layers) {
    const [first, ...below] = chainOf(scene.layers, layerId)
    if (first === undefined || first.origin === 'image') continue
    candidates.add(first.id)
    const kept = below.findIndex((layer) => layer.origin === 'image' || (scene.pins[layer.id] ?? []).some((pin) => !gone.has(pin)))
    for (const layer of kept < 0 ? below : below.slice(0, kept)) candidates.add(layer.id)
  }
  const above = scene.layers.filter((layer) => layer.parentId !== null && candidates.has(layer.parentId))
  return new Set([...candidates, ...above.map((layer) => layer.id)])
}

/** One for each tree that is touched, named after the first of the disks it is about. */
export function planDisks(scene: Scene, letting: Letting, measures: ReadonlyMap<string, Measures>): DiskPlan[] {
  const touched = touchedBy(scene, letting)
  const near = new Set([...touched].flatMap((id) => chainOf(scene.layers, id).map((layer) => layer.id)))
  const trees = new Map<string, LetGo[]>()
  for (const one of letting.layers) {
    const tree = treeOf(scene, one.layerId)
    trees.set(tree, [...(trees.get(tree) ?? []), one])
  }
  return [...trees].map(([tree, own]) => {
    const { held, allocated } = measures.get(tree) ?? { held: { layers: [], rows: [] }, allocated: {} }
    const layers = scene.layers
      .filter((layer) => near.has(layer.id))
      .map((layer) => plannedLayer(scene, layer, touched.has(layer.id) ? (allocated[layer.id] ?? 0) : 0))
    const [diskId = '', ...sharedWith] = new Set(own.map((one) => one.diskId))
    const ids = (isBelow: boolean): string[] => own.filter((one) => (one.isBelow ?? false) === isBelow).map((one) => one.layerId)
    const release = { layerIds: ids(false), belowIds: ids(true), pins: letting.pins, several: letting.several }
    const told = summed(foretell({ layers, held }, release))
    return { diskId, sharedWith, ...told, ...(told.steps.some((step) => !step.followOn && step.kind !== 'keep') ? {} : tagsOf(scene, own)) }
  })
}

/** A tag below a disk's top cannot be taken out while a guest has the file open. */
function tagsOf(scene: Scene, own: readonly LetGo[]): Pick<DiskPlan, 'direction' | 'reason'> | undefined {
  const tagged = scene.layers.filter((layer) => own.some((one) => one.isTag && one.layerId === layer.id))
  if (tagged.length === 0) return undefined
  const stays = tagged.some((layer) => layer.state !== 'top' && readersOf(scene, layer.id) > 0)
  if (stays)
    return { direction: 'keep', reason: 'its tag stays in a file that a running server has open below its top, until that layer goes' }
  return { direction: 'discard', reason: "its tag is taken out of the disk's file" }
}

/** Most telling first. */
const WEIGHT: readonly RetirementStep['kind'][] = ['commit', 'pull', 'wait', 'discard', 'keep']

function summed(told: Retirement): Omit<DiskPlan, 'diskId' | 'sharedWith'> {
  const own = told.steps.filter((step) => !step.followOn)
  const asked = own.length > 0 ? own : told.steps
  const first = WEIGHT.map((kind) => asked.find((step) => step.kind === kind)).find((step) => step !== undefined)
  return {
    direction: first?.kind ?? 'keep',
    reason: first?.reason ?? null,
    steps: told.steps,
    bytesToCopy: told.bytesToCopy,
    extraAtPeak: told.extraAtPeak,
    reclaimable: told.reclaimable,
    pause: told.steps.filter((step) => step.kind === 'commit' && step.live).length * PIVOT_SECONDS,
  }
}

function plannedLayer(scene: Scene, layer: Layer, allocated: number): PlannedLayer {
  const { id, parentId, format, state, origin } = layer
  return {
    id,
    parentId,
    format,
    state,
    origin,
    allocated,
    pins: scene.pins[id] ?? [],
    tagPins: scene.parts.filter((part) => part.layerId === id && part.tag !== null).map((part) => part.id),
    openIn: readersOf(scene, id),
    othersAbove: scene.othersAbove[id] ?? 0,
    askedEach: scene.askedEach.includes(id),
  }
}

/** Running servers that read it. */
function readersOf(scene: Scene, layerId: string): number {
  const above = new Set([layerId, ...descendantsOf(scene.layers, layerId).map((one) => one.id)])
  const readers = scene.disks.filter((disk) => disk.topLayerId !== null && above.has(disk.topLayerId)).map((disk) => disk.serverId)
  return new Set(readers.filter((reader) => reader !== null && scene.running.includes(reader))).size
}
