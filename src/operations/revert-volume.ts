/**
 * revert-volume: a detached volume becomes what its latest snapshot holds. A new overlay on the snapshot's layer becomes
 * the disk's top; what was written since is given up, and goes unless something else needs it.
 *
 *     before   base ◄── sealed (pinned) ◄── top      after   base ◄── sealed (pinned) ◄── overlay
 */
import { type RevertVolumeInput, revertVolume } from '../domain/server-snapshot-operations.js'
import { ANY } from '../ports/stores.js'
import { createLayers } from '../steps/create-layers.js'
import { givenUpTops, putOnTop } from '../steps/revert-disks.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { forgetPlanned } from './capture.js'
import { retire } from './retire.js'
import { tellEvent } from './tell.js'

export const revertVolumeOperation: Operation<RevertVolumeInput, Tools> = {
  descriptor: revertVolume,
  plan: ({ volumeId, diskId, snapshotId, snapshotLayerId, layerId }) => ({
    prepare: [createLayers([{ layerId, on: { layerId: snapshotLayerId } }])],
    pivot: putOnTop(async () => [{ diskId, layerId }]),
    finish: [],
    async settle(_, stores, journal) {
      await stores.snapshots.transition(snapshotId, ['restoring'], { status: 'available', updatedAt: journal.now })
      const back = { status: 'available', previousStatus: null, updatedAt: journal.now } as const
      await stores.volumes.transition(volumeId, ['reverting'], back)
      const volume = await stores.volumes.find(ANY, volumeId)
      const about = { type: 'volume', id: volumeId, kind: 'volume.reverted', payload: { snapshotId } } as const
      if (volume !== undefined) await tellEvent(stores, journal, { projectId: volume.projectId, ...about })
      for (const old of givenUpTops(journal)) await retire(stores, old, journal)
    },
    /** Nothing was changed; as in Cinder a revert that failed still shows in the volume's status, for whoever waits for it. */
    async abandon(_, stores, journal, { sentence, cancelled }) {
      await forgetPlanned(stores, [layerId], journal)
      await stores.snapshots.transition(snapshotId, ['restoring'], { status: 'available', updatedAt: journal.now })
      const status = cancelled ? 'available' : 'error'
      await stores.volumes.transition(volumeId, ['reverting'], { status, previousStatus: null, updatedAt: journal.now })
      const volume = await stores.volumes.find(ANY, volumeId)
      const about = { type: 'volume', id: volumeId, kind: 'volume.revert-failed', payload: { snapshotId, sentence } } as const
      if (volume !== undefined) await tellEvent(stores, journal, { projectId: volume.projectId, ...about })
    },
  }),
}
