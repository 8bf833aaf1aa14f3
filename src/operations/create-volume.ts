/** create-volume: one file. Blank, or an overlay on the sealed layer of an image or a snapshot: made in milliseconds, whatever its size. */
import { type CreateVolumeInput, createVolume } from '../domain/operations.js'
import { createLayers } from '../steps/create-layers.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { forgetLayer, retire } from './retire.js'
import { endNewVolume } from './volume-parts.js'

export const createVolumeOperation: Operation<CreateVolumeInput, Tools> = {
  descriptor: createVolume,
  plan: ({ volumeId, layer }) => ({
    prepare: [
      createLayers([
        {
          layerId: layer.layerId,
          on: layer.parentLayerId === null ? null : { layerId: layer.parentLayerId },
          virtualSize: layer.virtualSize,
          firstOf: layer.diskId,
        },
      ]),
    ],
    finish: [],
    settle: async (_, stores, journal) => await endNewVolume(stores, journal, volumeId, 'available'),
    async abandon(_, stores, journal, { sentence }) {
      await stores.disks.update(layer.diskId, { topLayerId: null })
      await forgetLayer(stores, layer.layerId)
      await retire(stores, layer.parentLayerId, journal)
      await endNewVolume(stores, journal, volumeId, 'error', sentence)
    },
  }),
}
