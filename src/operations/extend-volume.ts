/** extend-volume: the top layer gets larger, live or closed. The quota was taken by the accepting request; what is there in the end is what stays taken. */
import { type ExtendVolumeInput, extendVolume } from '../domain/operations.js'
import { promisedGib, volumeAmounts } from '../domain/quota.js'
import type { Volume } from '../domain/volume.js'
import { ANY, type Stores } from '../ports/stores.js'
import { growDisk } from '../steps/grow-disk.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { tellEvent, tellUser } from './tell.js'
import { volumeAtRest } from './volume-parts.js'

export const extendVolumeOperation: Operation<ExtendVolumeInput, Tools> = {
  descriptor: extendVolume,
  plan: ({ volumeId, diskId, virtualSize, sizeGib }) => ({
    prepare: [],
    pivot: growDisk(diskId, virtualSize),
    finish: [],
    async settle(_, stores, journal) {
      const disk = await stores.disks.find(ANY, diskId)
      if (disk?.topLayerId != null) await stores.layers.update(disk.topLayerId, { virtualSize })
      await stores.disks.update(diskId, { virtualSize })
      const volume = await stores.volumes.find(ANY, volumeId)
      if (volume === undefined) return
      const status = await volumeAtRest(stores, volumeId)
      // The disk has grown whatever became of the status meanwhile: its server may have been deleted and freed the volume.
      await stores.volumes.update(volumeId, { sizeGib, updatedAt: journal.now })
      await count(stores, { ...volume, sizeGib }, journal.jobId)
      await stores.volumes.transition(volumeId, ['extending'], { status, previousStatus: null })
      await tellEvent(stores, journal, { projectId: volume.projectId, type: 'volume', id: volumeId, kind: 'volume.extended' })
    },
    async abandon(_, stores, journal, { sentence }) {
      const volume = await stores.volumes.find(ANY, volumeId)
      if (volume === undefined) return
      await stores.volumes.transition(volumeId, ['extending'], { status: 'error_extending', previousStatus: null, updatedAt: journal.now })
      await count(stores, volume, journal.jobId)
      await tellUser(stores, journal, { projectId: volume.projectId, type: 'VOLUME', id: volumeId, action: 'extend volume', sentence })
    },
  }),
}

/** The size it has counts, or what other extensions promised, not this one; limits lowered meanwhile do not undo what is there. */
async function count(stores: Stores, volume: Volume, jobId: string): Promise<void> {
  const type = await stores.volumeTypes.find(ANY, volume.volumeTypeId)
  const size = promisedGib(volume, await stores.jobs.unfinished('volume', volume.id), jobId)
  await stores.quotas.hold(volume.projectId, volume.id, volumeAmounts(type?.name ?? volume.volumeTypeId, size))
}
