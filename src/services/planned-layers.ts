/**
 * A layer that is named now and made by a job: its row (`planned`) and its line in the ledger of artefacts, written
 * down before anything exists. `parentId` null: blank, or an overlay whose parent is the disk's top when the job runs.
 */
import type { Disk, Layer } from '../domain/disk.js'
import { layerFileName } from '../domain/names.js'
import type { Micros } from '../domain/time.js'
import { ANY, type Stores } from '../ports/stores.js'

export interface PlannedLayer {
  readonly id: string
  readonly parentId: string | null
  /** Bytes. */
  readonly virtualSize: number
  readonly origin?: Layer['origin']
  /** qcow2 where that is not said. */
  readonly format?: Layer['format']
}

export async function planLayer(
  stores: Stores,
  disk: Pick<Disk, 'hostId' | 'poolId' | 'projectId'>,
  layer: PlannedLayer,
  now: Micros,
): Promise<void> {
  const pool = await stores.pools.find(ANY, disk.poolId)
  if (pool === undefined) throw new TypeError(`a disk lies in the unknown pool ${disk.poolId}`)
  const { id, origin = 'disk', format = 'qcow2' } = layer
  const row = { ...plannedLayer(disk, id, layer.parentId, layer.virtualSize, now), origin, format, fileName: layerFileName(id, format) }
  await stores.layers.insert(row)
  await stores.artefacts.insert({
    id: `layer:${layer.id}`,
    kind: 'layer-file',
    hostId: disk.hostId,
    location: `${pool.path}/${row.fileName}`,
    ownerType: 'layer',
    ownerId: layer.id,
    createdAt: now,
  })
}

/** The row alone, of a layer that gets its artefact elsewhere. */
export const plannedLayer = (
  disk: Pick<Disk, 'poolId' | 'projectId'>,
  id: string,
  parentId: string | null,
  virtualSize: number,
  now: Micros,
): Omit<Layer, 'seq'> => ({
  id,
  poolId: disk.poolId,
  projectId: disk.projectId,
  parentId,
  fileName: layerFileName(id, 'qcow2'),
  format: 'qcow2',
  virtualSize,
  state: 'planned',
  origin: 'disk',
  createdAt: now,
})
