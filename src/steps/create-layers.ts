/**
 * Undoable: writes the files of new layers, each an empty overlay or a blank disk. The rows exist already (`planned`,
 * with their artefacts); what an overlay stands on is looked up now, because jobs accepted earlier may have moved it.
 */
import type { Layer } from '../domain/disk.js'
import type { LayerFile } from '../ports/block.js'
import type { Stores } from '../ports/stores.js'
import { fileOf, layerFile, layerRow, topOf } from './places.js'
import type { UndoableBrick } from './tools.js'

export interface PlannedLayer {
  readonly layerId: string
  /** On a layer, on whatever is a disk's top, or on nothing. */
  readonly on: { readonly layerId: string } | { readonly topOf: string } | null
  /** Bytes; undefined: as large as what it stands on. */
  readonly virtualSize?: number
  /** A new disk that has it as its first top. */
  readonly firstOf?: string
}

export const createLayers = (planned: readonly PlannedLayer[]): UndoableBrick => ({
  kind: 'undoable',
  name: 'create-layers',
  resumes: true,
  async probe(_, tools) {
    const found = await Promise.all(planned.map(async (one) => tools.files.probe(...(await resolve(tools.db.read, one)))))
    if (found.every((state) => state === 'done')) return 'done'
    return found.every((state) => state === 'absent') ? 'absent' : 'partial'
  },
  async apply(_, tools) {
    for (const one of planned) {
      const [layer, backing] = await resolve(tools.db.read, one)
      // The file is ours by its name: what is half there was begun by a run of this job that was cut off.
      const state = await tools.files.probe(layer, backing)
      if (state === 'done') continue
      if (state === 'partial') await tools.files.remove(layer.path)
      await tools.files.create(layer, backing)
    }
  },
  async undo(_, tools) {
    for (const one of planned) await tools.files.remove((await layerFile(tools.db.read, one.layerId)).path)
  },
  async record(_, stores) {
    for (const one of planned) {
      const { parentId, virtualSize } = await place(stores, one)
      await stores.layers.update(one.layerId, { parentId, virtualSize })
      if (one.firstOf !== undefined) {
        await stores.layers.update(one.layerId, { state: 'top' })
        await stores.disks.update(one.firstOf, { topLayerId: one.layerId })
      }
    }
  },
})

async function place(stores: Stores, planned: PlannedLayer): Promise<Pick<Layer, 'parentId' | 'virtualSize'>> {
  const parentId =
    planned.on === null ? null : 'topOf' in planned.on ? await topOf(stores, planned.on.topOf) : await namedOn(stores, planned)
  const virtualSize = planned.virtualSize ?? (parentId === null ? undefined : (await layerRow(stores, parentId)).virtualSize)
  if (virtualSize === undefined) throw new TypeError('a blank layer needs a size')
  return { parentId, virtualSize }
}

/** Its row knows better than what was asked for: a layer that went down into one below has left its children to that one. */
async function namedOn(stores: Stores, { layerId, on }: PlannedLayer): Promise<string | null> {
  return (await layerRow(stores, layerId)).parentId ?? (on !== null && 'layerId' in on ? on.layerId : null)
}

async function resolve(stores: Stores, planned: PlannedLayer): Promise<[LayerFile, LayerFile | null]> {
  const { parentId, virtualSize } = await place(stores, planned)
  const layer = await fileOf(stores, await layerRow(stores, planned.layerId))
  return [{ ...layer, virtualSize }, parentId === null ? null : await layerFile(stores, parentId)]
}
