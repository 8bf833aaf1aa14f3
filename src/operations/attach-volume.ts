/** attach-volume and detach-volume: a disk plugged into a running guest, or listed for the next start of one that is off. */
import { type AttachVolumeInput, attachVolume, detachVolume } from '../domain/operations.js'
import { ANY } from '../ports/stores.js'
import { closeChainStep, openChain, plugDevice, unplugDevice } from '../steps/plug-disk.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { retireBelow } from './retire.js'
import { finishAction, tellEvent, tellUser } from './tell.js'

export const attachVolumeOperation: Operation<AttachVolumeInput, Tools> = {
  descriptor: attachVolume,
  plan: ({ attachmentId, volumeId, diskId, serverId }) => ({
    prepare: [openChain(serverId, diskId)],
    pivot: plugDevice(serverId, diskId),
    finish: [],
    async settle(_, stores, journal) {
      await stores.disks.update(diskId, { serverId })
      await stores.attachments.transition(attachmentId, ['attaching'], { status: 'attached', attachedAt: journal.now })
      const from = ['available', 'reserved', 'attaching'] as const
      await stores.volumes.transition(volumeId, from, { status: 'in-use', previousStatus: null, updatedAt: journal.now })
      const volume = await stores.volumes.find(ANY, volumeId)
      if (volume !== undefined)
        await tellEvent(stores, journal, { projectId: volume.projectId, type: 'volume', id: volumeId, kind: 'volume.attached' })
      await finishAction(stores, journal, serverId, 'done')
    },
    async abandon(_, stores, journal, { sentence }) {
      await stores.attachments.remove(attachmentId)
      await stores.disks.update(diskId, { serverId: null })
      const from = ['reserved', 'attaching', 'in-use'] as const
      await stores.volumes.transition(volumeId, from, { status: 'available', previousStatus: null, updatedAt: journal.now })
      const volume = await stores.volumes.find(ANY, volumeId)
      const about = { type: 'VOLUME', id: volumeId, action: 'attach volume', sentence } as const
      if (volume !== undefined) await tellUser(stores, journal, { projectId: volume.projectId, ...about })
      await finishAction(stores, journal, serverId, 'failed')
    },
  }),
}

export const detachVolumeOperation: Operation<AttachVolumeInput, Tools> = {
  descriptor: detachVolume,
  plan: ({ attachmentId, volumeId, diskId, serverId }) => ({
    prepare: [],
    pivot: unplugDevice(serverId, diskId),
    finish: [closeChainStep(serverId, diskId)],
    async settle(_, stores, journal) {
      await stores.attachments.remove(attachmentId)
      await stores.disks.update(diskId, { serverId: null })
      await stores.volumes.transition(volumeId, ['in-use', 'detaching'], {
        status: 'available',
        previousStatus: null,
        updatedAt: journal.now,
      })
      const volume = await stores.volumes.find(ANY, volumeId)
      if (volume !== undefined)
        await tellEvent(stores, journal, { projectId: volume.projectId, type: 'volume', id: volumeId, kind: 'volume.detached' })
      await finishAction(stores, journal, serverId, 'done')
      await retireBelow(stores, [diskId], journal)
    },
    async abandon(_, stores, journal, { sentence }) {
      await stores.attachments.transition(attachmentId, ['detaching'], { status: 'attached' })
      await stores.volumes.transition(volumeId, ['detaching'], { status: 'in-use', previousStatus: null, updatedAt: journal.now })
      const volume = await stores.volumes.find(ANY, volumeId)
      const about = { type: 'VOLUME', id: volumeId, action: 'detach volume', sentence } as const
      if (volume !== undefined) await tellUser(stores, journal, { projectId: volume.projectId, ...about })
      await finishAction(stores, journal, serverId, 'failed')
    },
  }),
}
