/** A plan's numbers, once the layers of its outline are measured: bytes, room and pauses per disk, locks, and the conditions they set. */
import { chainOf, descendantsOf } from './chain.js'
import { dataSeen } from './holdings.js'
import type { Lock } from './operation.js'
import { dropLayer, mergeLayer } from './operations.js'
import { type DiskPlan, type Measures, planDisks, type Scene, touchedBy, treeOf } from './plan-scene.js'
import { deleteServerSnapshots, revertServer } from './server-snapshot-operations.js'
import type { Outline, PlanRequest, Precondition } from './snapshot-plan.js'

/** How a disk goes back, of a revert. */
export interface WayBack {
  readonly diskId: string
  /** overlay: at once. in_place: the tag is applied to the disk's top. copy: all it shows is copied out of a tag. */
  readonly way: 'overlay' | 'in_place' | 'copy'
  readonly bytes: number
}

export interface Plan {
  readonly disks: readonly DiskPlan[]
  readonly waysBack: readonly WayBack[]
  readonly bytesToCopy: number
  readonly extraAtPeak: number
  readonly reclaimable: number
  /** Seconds, of all guests; a guest that is ended and started again is told by the outline. */
  readonly pause: number
  readonly locks: readonly Lock[]
  readonly preconditions: readonly Precondition[]
}

export interface MeasuredScene {
  /** By tree. */
  readonly measures: ReadonlyMap<string, Measures>
  /** Bytes, by pool. */
  readonly free: ReadonlyMap<string, number>
}

/** By tree: the layers whose maps are wanted. */
export function toMeasure({ scene, letting, reverting }: Outline): Map<string, Set<string>> {
  const wanted = new Map<string, Set<string>>()
  const want = (tree: string, layerId: string): void => void wanted.set(tree, (wanted.get(tree) ?? new Set()).add(layerId))
  const isThere = new Set(scene.layers.filter((layer) => !isNew(layer.id)).map((layer) => layer.id))
  for (const id of touchedBy(scene, letting)) if (isThere.has(id)) want(treeOf(scene, id), id)
  for (const { part, way } of reverting)
    if (way === 'copy' && part.layerId !== null)
      for (const { id } of chainOf(scene.layers, part.layerId)) want(treeOf(scene, part.layerId), id)
  return wanted
}

export function fill(given: Outline, request: PlanRequest, { measures, free }: MeasuredScene): Plan {
  const { scene, letting } = given
  const disks = planDisks(scene, letting, measures)
  const waysBack = given.reverting.map(({ part, way }): WayBack => {
    const held = way === 'copy' && part.layerId !== null ? measures.get(treeOf(scene, part.layerId))?.held : undefined
    const chain = held === undefined ? [] : chainOf(scene.layers, part.layerId ?? '').map((layer) => layer.id)
    return { diskId: part.diskId, way, bytes: held === undefined ? 0 : dataSeen(held, chain) }
  })
  const copied = waysBack.reduce((bytes, back) => bytes + back.bytes, 0)
  const memory = scene.memory
    .filter(({ serverSnapshotId }) => given.going.some((snapshot) => snapshot.id === serverSnapshotId))
    .reduce((bytes, { size }) => bytes + (size ?? 0), 0)
  const sum = (of: (disk: DiskPlan) => number): number => disks.reduce((total, disk) => total + of(disk), 0)
  return {
    disks,
    waysBack,
    bytesToCopy: sum((disk) => disk.bytesToCopy) + copied,
    extraAtPeak: sum((disk) => disk.extraAtPeak) + copied,
    reclaimable: sum((disk) => disk.reclaimable) - copied + memory,
    pause: sum((disk) => disk.pause),
    locks: locksOf(given, request, disks),
    preconditions: [...given.preconditions, files(measures), room(scene, disks, waysBack, free)],
  }
}

const isNew = (layerId: string): boolean => layerId.startsWith('new ')

function locksOf({ scene, going, reverting }: Outline, request: PlanRequest, disks: readonly DiskPlan[]): Lock[] {
  const { server } = scene
  const ownDisks = scene.disks.filter((disk) => disk.serverId === server.id).map((disk) => disk.id)
  const tagged = scene.parts.filter(({ tag, serverSnapshotId }) => tag !== null && going.some(({ id }) => id === serverSnapshotId))
  const first =
    request.kind === 'delete'
      ? deleteServerSnapshots.locks({
          serverId: server.id,
          serverSnapshotIds: going.map(({ id }) => id),
          children: request.children,
          diskIds: [...new Set(tagged.map(({ diskId }) => diskId))],
        })
      : request.kind === 'revert'
        ? revertServer.locks({
            serverId: server.id,
            serverSnapshotId: request.id,
            diskIds: ownDisks,
            disks: [],
            layerIds: reverting.flatMap(({ part }) => part.layerId ?? []),
            powerState: 'stopped',
            withMemory: false,
            keptIn: null,
          })
        : []
  const later = disks.flatMap(({ steps }) =>
    steps.flatMap(({ kind, layerId }) => {
      if (kind === 'discard') return dropLayer.locks({ layerId })
      if (kind !== 'commit' && kind !== 'pull') return []
      const above = descendantsOf(scene.layers, layerId).flatMap(({ id }) => (isNew(id) ? [] : id))
      const tops = scene.disks.filter(({ topLayerId }) => above.includes(topLayerId ?? ''))
      return mergeLayer.locks({ layerId, layerIds: above, diskIds: tops.map(({ id }) => id), children: 'each' })
    }),
  )
  return [...new Set([...first, ...later])].toSorted()
}

function files(measures: ReadonlyMap<string, Measures>): Precondition {
  const missing = [...measures.values()].flatMap(({ allocated }) => Object.values(allocated)).filter((bytes) => bytes === null).length
  return {
    name: 'files',
    isMet: missing === 0,
    refuses: false,
    sentence:
      missing === 0 ? 'All files it touches are in the storage pool.' : `${missing} files it touches are missing from the storage pool.`,
  }
}

/** Each disk's peak may come at the same time. */
function room(scene: Scene, disks: readonly DiskPlan[], waysBack: readonly WayBack[], free: ReadonlyMap<string, number>): Precondition {
  const wanted = new Map<string, number>()
  const poolOf = (diskId: string): string => scene.disks.find((disk) => disk.id === diskId)?.poolId ?? ''
  for (const { diskId, extraAtPeak: bytes } of disks) wanted.set(poolOf(diskId), (wanted.get(poolOf(diskId)) ?? 0) + bytes)
  for (const { diskId, bytes } of waysBack) wanted.set(poolOf(diskId), (wanted.get(poolOf(diskId)) ?? 0) + bytes)
  const short = [...wanted].filter(([pool, bytes]) => free.has(pool) && bytes > (free.get(pool) ?? 0))
  return {
    name: 'room',
    isMet: short.length === 0,
    refuses: false,
    sentence:
      short.length === 0
        ? 'The storage pool has room for what is copied.'
        : 'The storage pool is too full: merges are put off until there is room.',
  }
}
