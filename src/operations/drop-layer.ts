/** drop-layer: a layer nobody pins and nothing stands on is unlinked, then forgotten; its parent may be next. */
import { type DropLayerInput, dropLayer } from '../domain/operations.js'
import { ANY } from '../ports/stores.js'
import { markDropping, removeDropped } from '../steps/drop-layer-file.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { forgetLayer, retire } from './retire.js'
import { tellEvent } from './tell.js'

export const dropLayerOperation: Operation<DropLayerInput, Tools> = {
  descriptor: dropLayer,
  plan: ({ layerId }) => ({
    prepare: [],
    pivot: markDropping(layerId),
    finish: [removeDropped([layerId])],
    async settle(_, stores, journal) {
      const layer = await stores.layers.find(ANY, layerId)
      if (layer?.state !== 'dropping') return
      await forgetLayer(stores, layerId)
      await tellEvent(stores, journal, { projectId: layer.projectId, type: 'layer', id: layerId, kind: 'layer.dropped' })
      await retire(stores, layer.parentId, journal)
    },
    abandon: async () => {},
  }),
}
