/**
 * Where things are, looked up when a step needs them: the file of a layer, the chain below it, and the running guest
 * that has a disk open. Nothing is carried from step to step: a server may stop in between.
 */
import type { Disk, Layer } from '../domain/disk.js'
import { NeedsAttention } from '../domain/errors.js'
import type { Chain, LayerFile } from '../ports/block.js'
import type { Guest } from '../ports/hypervisor.js'
import { ANY, type Stores } from '../ports/stores.js'
import type { Tools } from './tools.js'

export async function layerRow(stores: Stores, layerId: string): Promise<Layer> {
  const layer = await stores.layers.find(ANY, layerId)
  if (layer === undefined) throw new NeedsAttention(`Layer ${layerId} is not in the tables.`)
  return layer
}

export async function diskRow(stores: Stores, diskId: string): Promise<Disk> {
  const disk = await stores.disks.find(ANY, diskId)
  if (disk === undefined) throw new NeedsAttention(`Disk ${diskId} is not in the tables.`)
  return disk
}

/** The layer a disk writes to. It stays so while a job holds the disk's chain lock, until that job's own rows. */
export async function topOf(stores: Stores, diskId: string): Promise<string> {
  const { topLayerId } = await diskRow(stores, diskId)
  if (topLayerId === null) throw new NeedsAttention(`Disk ${diskId} has no layer.`)
  return topLayerId
}

export async function fileOf(stores: Stores, layer: Layer): Promise<LayerFile> {
  const pool = await stores.pools.find(ANY, layer.poolId)
  if (pool === undefined) throw new NeedsAttention(`Pool ${layer.poolId} is not in the tables.`)
  return { layerId: layer.id, path: `${pool.path}/${layer.fileName}`, format: layer.format, virtualSize: layer.virtualSize }
}

export const layerFile = async (stores: Stores, layerId: string): Promise<LayerFile> =>
  await fileOf(stores, await layerRow(stores, layerId))

/** From the layer down to its base. */
export async function chainFiles(stores: Stores, layerId: string): Promise<Chain> {
  const rows = await stores.layers.chain(layerId)
  if (rows.length === 0) throw new NeedsAttention(`Layer ${layerId} is not in the tables.`)
  return await Promise.all(rows.map((row) => fileOf(stores, row)))
}

export interface LiveDisk {
  readonly guest: Guest
  readonly diskId: string
  /** Format node its device is on. */
  readonly topNode: string
}

/** The running guest that has the disk plugged in; undefined when it is at rest. Throws Unavailable when QEMU is there and silent. */
export async function liveDisk(tools: Tools, diskId: string): Promise<LiveDisk | undefined> {
  const { serverId } = await diskRow(tools.db.read, diskId)
  if (serverId === null) return undefined
  const guest = await tools.hypervisor.find(serverId)
  const topNode = await guest?.blocks.topNode(diskId)
  return guest === undefined || topNode === undefined ? undefined : { guest, diskId, topNode }
}

/** The running guests whose chains include a layer, by the disk that does. */
export async function readersOf(tools: Tools, layerId: string): Promise<LiveDisk[]> {
  const above = [layerId, ...(await tools.db.read.layers.descendants(layerId)).map((layer) => layer.id)]
  const disks = await tools.db.read.disks.list(ANY, { where: { topLayerId: { in: above } } })
  const live = await Promise.all(disks.map((disk) => liveDisk(tools, disk.id)))
  return live.filter((disk) => disk !== undefined)
}

/** Those of the layers that hold a tag somebody's snapshot needs. */
export async function taggedAmong(stores: Stores, layers: readonly Pick<Layer, 'id'>[]): Promise<Set<string>> {
  const ids = layers.map((layer) => layer.id)
  const parts = ids.length === 0 ? [] : await stores.diskSnapshots.list(ANY, { where: { layerId: { in: ids }, tag: { not: null } } })
  return new Set(parts.flatMap(({ layerId }) => (layerId === null ? [] : [layerId])))
}
