/**
 * What a server snapshot costs: bytes that are its own, bytes it shares, and what deleting it would give back, told by the
 * same rules as the plan of that deletion. The layers are measured by the worker of their host; where it cannot be asked,
 * or the snapshot is inside a disk's file and cannot be told apart from it, nothing is said.
 */
import type { Caller } from '../../domain/caller.js'
import { chainOf } from '../../domain/chain.js'
import { AdapterError } from '../../domain/errors.js'
import { fill } from '../../domain/plan-bytes.js'
import { type Measures, type Scene, treeOf } from '../../domain/plan-scene.js'
import { ownershipOf } from '../../domain/snapshot-bytes.js'
import { outline } from '../../domain/snapshot-plan.js'
import { ANY } from '../../ports/stores.js'
import type { ServiceDeps } from '../deps.js'
import { originOf } from '../volume/access.js'
import { readScene } from './plan-scene.js'
import type { ServerSnapshotRecord } from './server-snapshots-common.js'

/** Measuring reads the tables of every file: of a larger forest nobody waits for it. */
const MOST_LAYERS = 256

export interface SnapshotBytes {
  readonly exclusive: number
  readonly shared: number
  /** What deleting it by merging gives back; below zero where that takes room. */
  readonly reclaimable: number
}

export interface SnapshotCost {
  /** Its memory included; null: see the reason. */
  readonly total: SnapshotBytes | null
  readonly reason: string | null
  /** By part. What disks of one tree give back is told of the first of them. */
  readonly disks: ReadonlyMap<string, SnapshotBytes>
}

const unsaid = (reason: string): SnapshotCost => ({ total: null, reason, disks: new Map() })

export async function costOf(
  { db, auditor }: Pick<ServiceDeps, 'db' | 'auditor'>,
  caller: Caller,
  { snapshot, disks, memory }: ServerSnapshotRecord,
): Promise<SnapshotCost> {
  if (snapshot.status !== 'available') return unsaid(`It is ${snapshot.status}.`)
  if (snapshot.kind === 'internal') return unsaid('It is inside the files of its disks and cannot be told apart from them.')
  const server = await db.read.servers.find(ANY, snapshot.serverId)
  if (server === undefined) return unsaid('Its server is no more.')
  const scene = await db.transaction((stores) => readScene(stores, server))
  const parts = disks.flatMap(({ id, diskId, layerId }) => (layerId === null ? [] : [{ id, diskId, layerId }]))
  const trees = [...new Set(parts.map((part) => treeOf(scene, part.layerId)))].map((tree) => ({ tree, layers: inTree(scene, tree) }))
  if (trees.reduce((count, { layers }) => count + layers.length, 0) > MOST_LAYERS)
    return unsaid('Too many layers would have to be measured.')

  const pools = await db.read.pools.list(ANY, { where: { hostId: { is: server.hostId } } })
  const files = trees.map(({ layers }) =>
    layers.map(({ id, poolId, fileName, format, virtualSize }) => {
      const directory = pools.find((pool) => pool.id === poolId)?.path ?? ''
      return { layerId: id, path: `${directory}/${fileName}`, format, virtualSize }
    }),
  )
  const seen = await auditor
    .measure(server.hostId, { serverId: server.id, trees: files, pools: [] }, originOf(caller))
    .catch((error: unknown) => {
      if (error instanceof AdapterError) return undefined
      throw error
    })
  if (seen === undefined) return unsaid('The host did not tell what the layers hold.')

  const measures = new Map(trees.flatMap(({ tree }, at) => (seen.trees[at] ? [[tree, seen.trees[at]] as const] : [])))
  const plan = forDeletion(scene, snapshot.id, measures)
  const told = new Map(
    parts.map((part): [string, SnapshotBytes] => {
      const held = measures.get(treeOf(scene, part.layerId))?.held ?? { layers: [], rows: [] }
      const own = ownershipOf(held, scene.layers, part.layerId, viewsOf(scene, part.layerId, snapshot.id))
      return [part.id, { ...own, reclaimable: plan.disks.find((disk) => disk.diskId === part.diskId)?.reclaimable ?? 0 }]
    }),
  )
  const sum = (of: (bytes: SnapshotBytes) => number): number => [...told.values()].reduce((bytes, one) => bytes + of(one), 0)
  const total = {
    exclusive: sum((one) => one.exclusive) + (memory?.size ?? 0),
    shared: sum((one) => one.shared),
    reclaimable: plan.reclaimable,
  }
  return { total, reason: null, disks: told }
}

function forDeletion(scene: Scene, id: string, measures: ReadonlyMap<string, Measures>) {
  const request = { kind: 'delete', id, mode: 'merge', children: 'share' } as const
  return fill(outline(scene, request), request, { measures, free: new Map() })
}

/** The layers of a tree, and those of images below it. */
function inTree(scene: Scene, tree: string) {
  const below = new Set(chainOf(scene.layers, tree).map((layer) => layer.id))
  return scene.layers.filter((layer) => below.has(layer.id) || treeOf(scene, layer.id) === tree)
}

/** Whoever else looks: by another pin, or, where the tables of others were not read, by being there. */
function viewsOf(scene: Scene, layerId: string, serverSnapshotId: string): string[] {
  const own = new Set(scene.parts.flatMap((part) => (part.serverSnapshotId === serverSnapshotId ? [part.id] : [])))
  return inTree(scene, treeOf(scene, layerId))
    .filter(({ id }) => scene.pins[id]?.some((pin) => !own.has(pin)) ?? true)
    .map(({ id }) => id)
}
