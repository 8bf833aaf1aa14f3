/** delete-volume: settles at once; the disk is given up and its layers are retired, as far as nobody else needs them. */
import { type DeleteVolumeInput, deleteVolume } from '../domain/operations.js'
import { ANY } from '../ports/stores.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { giveUpDisk } from './give-up-disk.js'
import { tellEvent } from './tell.js'

export const deleteVolumeOperation: Operation<DeleteVolumeInput, Tools> = {
  descriptor: deleteVolume,
  plan: ({ volumeId, diskId }) => ({
    prepare: [],
    finish: [],
    async settle(_, stores, journal) {
      const volume = await stores.volumes.find(ANY, volumeId)
      if (volume !== undefined) {
        await stores.volumes.remove(volumeId)
        await stores.quotas.release(volumeId)
        await tellEvent(stores, journal, { projectId: volume.projectId, type: 'volume', id: volumeId, kind: 'volume.deleted' })
      }
      await giveUpDisk(stores, diskId, journal)
    },
    async abandon(_, stores, journal) {
      await stores.volumes.transition(volumeId, ['deleting'], { status: 'error_deleting', updatedAt: journal.now })
    },
  }),
}
