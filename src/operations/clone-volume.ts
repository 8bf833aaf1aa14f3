/**
 * clone-volume: a volume from a volume. The source's top is sealed and gets a new overlay, the clone is a second one.
 *
 *     before   top ◄ guest writes        after   top (sealed) ◄── overlay ◄ guest writes
 *                                                             ◄── clone
 */
import { type CloneVolumeInput, cloneVolume } from '../domain/operations.js'
import { createLayers } from '../steps/create-layers.js'
import { plugLayers } from '../steps/plug-layers.js'
import type { Operation } from '../steps/step.js'
import { switchTopLayers } from '../steps/switch-top-layers.js'
import type { Tools } from '../steps/tools.js'
import { forgetPlanned, recordSwitch } from './capture.js'
import { shorten } from './shorten.js'
import { endNewVolume } from './volume-parts.js'

export const cloneVolumeOperation: Operation<CloneVolumeInput, Tools> = {
  descriptor: cloneVolume,
  plan: ({ volumeId, diskId, layerId, virtualSize, source }) => ({
    prepare: [
      createLayers([
        { layerId: source.layerId, on: { topOf: source.diskId } },
        { layerId, on: { topOf: source.diskId }, virtualSize },
      ]),
      plugLayers([source]),
    ],
    pivot: switchTopLayers([source]),
    finish: [],
    async settle(_, stores, journal) {
      const parentId = (await recordSwitch(stores, [source])).get(source.diskId) ?? null
      await stores.layers.transition(layerId, ['planned'], { state: 'top', parentId })
      await stores.disks.update(diskId, { topLayerId: layerId })
      await endNewVolume(stores, journal, volumeId, 'available')
      await shorten(stores, [source.diskId, diskId], journal)
    },
    async abandon(_, stores, journal, { sentence }) {
      await forgetPlanned(stores, [source.layerId, layerId], journal)
      await endNewVolume(stores, journal, volumeId, 'error', sentence)
    },
  }),
}
