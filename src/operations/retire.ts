/**
 * What becomes of a layer that lost a pin or a child, decided in the transaction that took it away: dropped when nobody
 * needs it, merged away when only one layer stands on it, left alone otherwise. Images' layers are shared as they are.
 */
import { dropLayer, type MergeLayerInput, mergeLayer } from '../domain/operations.js'
import { ANY, type Origin, type Stores } from '../ports/stores.js'

type Several = MergeLayerInput['children']

/** True: a job for it was enqueued. */
export async function retire(
  stores: Stores,
  layerId: string | null,
  origin: Origin & { readonly jobId?: string },
  several?: Several,
): Promise<boolean> {
  const layer = layerId === null ? undefined : await stores.layers.find(ANY, layerId)
  // One that is merging without a job was put off on the way.
  if (layer === undefined || (layer.state !== 'sealed' && layer.state !== 'merging')) return false
  if ((await stores.layers.pins(layer.id)).length > 0) return false
  if ((await stores.jobs.unfinished('layer', layer.id)).some((job) => job.id !== origin.jobId)) return false
  const pool = await stores.pools.find(ANY, layer.poolId)
  if (pool === undefined) return false
  const { projectId, userId, requestId } = origin
  const options = { hostId: pool.hostId, origin: { projectId, userId, requestId } }
  const children = await stores.layers.children(layer.id)
  if (children.length === 0) {
    await stores.jobs.enqueue(dropLayer, { layerId: layer.id }, options)
    return true
  }
  if (layer.origin !== 'disk') return false
  const wanted = children.length === 1 ? 'share' : (several ?? (await askedBefore(stores, layer.id)))
  if (children.length > 1 && wanted !== 'each') return false
  await stores.jobs.enqueue(mergeLayer, await mergeInput(stores, layer.id, wanted), options)
  return true
}

/** What was asked for when the merge was put off. */
async function askedBefore(stores: Stores, layerId: string): Promise<Several> {
  const where = { operation: { is: mergeLayer.name }, resourceId: { is: layerId } }
  const jobs = await stores.jobs.list(ANY, { where })
  return jobs.some((job) => (job.input as MergeLayerInput).children === 'each') ? 'each' : 'share'
}

/** A guest let go of these disks: merges of layers below them that had to be put off may be possible now. */
export async function retireBelow(stores: Stores, diskIds: readonly string[], origin: Origin): Promise<void> {
  if (diskIds.length === 0) return
  for (const { topLayerId } of await stores.disks.list(ANY, { where: { id: { in: [...diskIds] } } })) {
    for (const layer of topLayerId === null ? [] : (await stores.layers.chain(topLayerId)).slice(1)) await retire(stores, layer.id, origin)
  }
}

/** Everything above the layer, as it is now: the locks of the merge follow from it. */
export async function mergeInput(stores: Stores, layerId: string, children: 'share' | 'each'): Promise<MergeLayerInput> {
  const layerIds = (await stores.layers.descendants(layerId)).map((layer) => layer.id)
  const disks = layerIds.length === 0 ? [] : await stores.disks.list(ANY, { where: { topLayerId: { in: layerIds } } })
  return { layerId, layerIds, diskIds: disks.map((disk) => disk.id), children }
}

/** The row of a layer whose file is gone (or never was), and its place in the ledger. */
export async function forgetLayer(stores: Stores, layerId: string): Promise<void> {
  await stores.artefacts.remove(`layer:${layerId}`)
  await stores.layers.remove(layerId)
}
