/**
 * merge-layer: an unpinned layer goes away by moving data (src/steps/merge-layer.ts draws it). Forward only once the row
 * says `merging`; makes way for any job that wants one of its chains, and goes on afterwards, live or offline. One that
 * cannot be done now ends without effect and without locks: its journal says why, and it is asked for again.
 */
import { type MergeLayerInput, mergeLayer } from '../domain/operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import { closeMerged } from '../steps/close-layers.js'
import { removeDropped } from '../steps/drop-layer-file.js'
import { type DeferredFacts, MARK, MOVE, markMerging, moveData } from '../steps/merge-layer.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { wakeGuests } from '../steps/wake-guest.js'
import { forgetLayer, mergeInput, retire } from './retire.js'
import { tellEvent } from './tell.js'

export const mergeLayerOperation: Operation<MergeLayerInput, Tools> = {
  descriptor: mergeLayer,
  plan: (input) => ({
    prepare: [],
    pivot: markMerging(input),
    finish: [
      moveData(input.layerId),
      wakeGuests(input.diskIds, MOVE),
      closeMerged([input.layerId, ...input.layerIds], input.diskIds),
      removeDropped([input.layerId, ...input.layerIds]),
    ],
    async settle({ layerId, layerIds, children }, stores, journal) {
      const gone = await stores.layers.list(ANY, { where: { id: { in: [layerId, ...layerIds] }, state: { is: 'dropping' } } })
      for (const layer of gone) {
        await forgetLayer(stores, layer.id)
        await tellEvent(stores, journal, { projectId: layer.projectId, type: 'layer', id: layer.id, kind: 'layer.merged' })
        await retire(stores, layer.parentId, journal)
      }
      // Made way between two children: the others are next. Or its last child went while it waited: nobody needs it now.
      const wasDeferred = [MARK, MOVE].some((name) => (journal.facts(name) as DeferredFacts).deferred !== undefined)
      const left = await stores.layers.find(ANY, layerId)
      if (left !== undefined && !wasDeferred) await retire(stores, layerId, journal, children)
    },
    abandon: async () => {},
  }),
  async renew(input: MergeLayerInput, stores: Stores) {
    const layer = await stores.layers.find(ANY, input.layerId)
    return layer === undefined ? undefined : await mergeInput(stores, input.layerId, input.children)
  },
}
