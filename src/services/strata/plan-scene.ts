/**
 * The scene of a plan, read from the tables in a few look-ups, and the plan's hash: of the structure it stands on and of
 * what was asked, not of the sizes a running guest changes every second. Whoever acts on a plan reads the scene again in
 * the accepting transaction and refuses if the hash is another.
 */
import { createHash } from 'node:crypto'
import type { Layer } from '../../domain/disk.js'
import { DomainError } from '../../domain/errors.js'
import { type MergeLayerInput, mergeLayer } from '../../domain/operations.js'
import type { Scene } from '../../domain/plan-scene.js'
import type { Server, VmState } from '../../domain/server.js'
import type { PlanRequest } from '../../domain/snapshot-plan.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { snapshotsOf } from './server-snapshots-common.js'

const ON: readonly VmState[] = ['active', 'paused']

export async function readScene(stores: Stores, server: Server): Promise<Scene> {
  const snapshots = await snapshotsOf(stores, server.id)
  const parts = await listIn(snapshots, (ids) => stores.diskSnapshots.list(ANY, { where: { serverSnapshotId: { in: ids } } }))
  const own = await stores.disks.list(ANY, { where: { serverId: { is: server.id } } })
  const starts = [...own.map((disk) => disk.topLayerId), ...parts.map((part) => part.layerId)]
  const { layers, chained } = await forest(stores, starts)
  const disks = new Map(own.map((disk) => [disk.id, disk]))
  const standing = await listIn(layers, (ids) => stores.disks.list(ANY, { where: { topLayerId: { in: ids } } }))
  const named = await listIn(
    parts.filter((part) => !disks.has(part.diskId)).map((part) => ({ id: part.diskId })),
    (ids) => stores.disks.list(ANY, { where: { id: { in: ids } } }),
  )
  for (const disk of [...standing, ...named]) disks.set(disk.id, disk)
  const servers = [...new Set([...disks.values()].flatMap((disk) => disk.serverId ?? []))]
  const running = await stores.servers.list(ANY, { where: { id: { in: servers }, vmState: { in: [...ON] } } })
  return {
    server,
    snapshots,
    parts,
    memory: await stores.memoryStates.list(ANY, { where: { serverId: { is: server.id } } }),
    disks: [...disks.values()],
    layers,
    pins: await pinsOf(stores, chained),
    othersAbove: await othersAbove(stores, layers),
    askedEach: await askedEach(stores, layers),
    running: running.map((one) => one.id),
  }
}

/** Whole trees, from the layers below which there are only images. Of an image's layer only what is ours stands on it here. */
async function forest(stores: Stores, starts: readonly (string | null)[]): Promise<{ layers: Layer[]; chained: Layer[] }> {
  const layers = new Map<string, Layer>()
  const chained = new Map<string, Layer>()
  for (const start of new Set(starts)) {
    if (start === null || chained.has(start)) continue
    const chain = await stores.layers.chain(start)
    for (const layer of chain) chained.set(layer.id, layer)
    const own = chain.findLast((layer) => layer.origin === 'disk')
    const isKnown = own === undefined || layers.has(own.id)
    for (const layer of chain) layers.set(layer.id, layer)
    for (const layer of isKnown ? [] : await stores.layers.descendants(own.id)) layers.set(layer.id, layer)
  }
  return { layers: [...layers.values()], chained: [...chained.values()] }
}

/** Only who is on a chain of the server's can be let go of. */
async function pinsOf(stores: Stores, layers: readonly Layer[]): Promise<Record<string, string[]>> {
  const pins: Record<string, string[]> = {}
  for (const { id } of layers) pins[id] = (await stores.layers.pins(id)).map((pin) => pin.id)
  return pins
}

async function othersAbove(stores: Stores, layers: readonly Layer[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { id, origin } of layers) {
    if (origin !== 'image') continue
    const all = await stores.layers.count(ANY, { parentId: { is: id } })
    counts[id] = all - layers.filter((layer) => layer.parentId === id).length
  }
  return counts
}

async function askedEach(stores: Stores, layers: readonly Layer[]): Promise<string[]> {
  const split = layers.filter(({ id, origin }) => origin === 'disk' && layers.filter((layer) => layer.parentId === id).length > 1)
  const jobs = await listIn(split, (ids) =>
    stores.jobs.list(ANY, { where: { operation: { is: mergeLayer.name }, resourceId: { in: ids } } }),
  )
  return jobs.filter((job) => (job.input as MergeLayerInput).children === 'each').map((job) => job.resourceId)
}

const listIn = async <T, R>(of: readonly (T & { id: string })[], list: (ids: string[]) => Promise<R[]>): Promise<R[]> =>
  of.length === 0 ? [] : await list(of.map(({ id }) => id))

/** Of the same scene and request always the same, on every machine. */
export function hashOf({ server, snapshots, parts, memory, disks, layers, pins, running }: Scene, request: PlanRequest): string {
  const byId = <T extends { id: string }>(all: readonly T[]): T[] => all.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const structure = {
    request,
    server: [server.id, server.vmState, server.currentSnapshotId],
    snapshots: byId(snapshots).map((one) => [one.id, one.parentId, one.status, one.protected]),
    parts: byId(parts).map((one) => [one.id, one.diskId, one.layerId, one.tag]),
    memory: byId(memory).map((one) => [one.id, one.serverSnapshotId, one.status]),
    disks: byId(disks).map((one) => [one.id, one.serverId, one.topLayerId]),
    layers: byId(layers).map((one) => [one.id, one.parentId, one.state, one.format]),
    pins: Object.keys(pins)
      .toSorted()
      .map((id) => [id, pins[id]?.toSorted()]),
    running: running.toSorted(),
  }
  return createHash('sha256').update(JSON.stringify(structure)).digest('hex')
}

/**
 * In the accepting transaction, before it changes anything: is the world still the one that was planned with? Without a
 * hash nobody wants to know.
 */
export async function requirePlan(stores: Stores, server: Server, request: PlanRequest, hash: string | undefined): Promise<void> {
  if (hash === undefined || hashOf(await readScene(stores, server), request) === hash) return
  throw new DomainError('preconditionFailed', 'What was planned is not so any more, or another request was planned. Please plan it again.')
}
