/**
 * What becomes of a layer that lost a pin or a child, decided in the transaction that took it away: dropped when nobody
 * needs it, merged away when only one layer stands on it, left alone otherwise. Images' layers are shared as they are.
 */
import { dropLayer, type MergeLayerInput, mergeLayer } from '../domain/operations.js'
import { ANY, type Origin, type Stores } from '../ports/stores.js'

export async function retire(stores: Stores, layerId: string | null, origin: Origin, several: 'share' | 'each' = 'share'): Promise<void> {
  const layer = layerId === null ? undefined : await stores.layers.find(ANY, layerId)
  if (layer?.state !== 'sealed' || (await stores.layers.pins(layer.id)).length > 0) return
  if ((await stores.jobs.unfinished('layer', layer.id)).length > 0) return
  const pool = await stores.pools.find(ANY, layer.poolId)
  if (pool === undefined) return
  const { projectId, userId, requestId } = origin
  const options = { hostId: pool.hostId, origin: { projectId, userId, requestId } }
  const children = await stores.layers.children(layer.id)
  if (children.length === 0) {
    await stores.jobs.enqueue(dropLayer, { layerId: layer.id }, options)
  } else if (layer.origin === 'disk' && (children.length === 1 || several === 'each')) {
    await stores.jobs.enqueue(mergeLayer, await mergeInput(stores, layer.id, several), options)
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
