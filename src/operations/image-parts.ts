/** How an image being made from a server or a volume ends when it fails: the record goes as Nova's does, the source is free again. */
import { ANY, type Stores } from '../ports/stores.js'
import type { Journal } from '../steps/step.js'
import { forgetLayer } from './retire.js'
import { finishAction, tellEvent, tellUser } from './tell.js'
import { volumeAtRest } from './volume-parts.js'

export interface ImageSource {
  readonly imageId: string
  readonly imageLayerId: string
  readonly serverId: string | null
  readonly volumeId: string | null
}

export async function failImage(stores: Stores, journal: Journal, source: ImageSource, sentence: string): Promise<void> {
  const image = await stores.images.find(ANY, source.imageId)
  if (image !== undefined) {
    await stores.quotas.release(source.imageId)
    await tellEvent(stores, journal, {
      projectId: image.projectId,
      type: 'image',
      id: source.imageId,
      kind: 'image.error',
      payload: { sentence },
    })
    await stores.images.remove(source.imageId)
  }
  await forgetLayer(stores, source.imageLayerId)
  await releaseSource(stores, journal, source, 'failed')
  const volume = source.volumeId === null ? undefined : await stores.volumes.find(ANY, source.volumeId)
  if (volume !== undefined)
    await tellUser(stores, journal, {
      projectId: volume.projectId,
      type: 'VOLUME',
      id: volume.id,
      action: 'copy volume to image',
      sentence,
    })
}

/** The server's task ends, the volume is what it was before. */
export async function releaseSource(stores: Stores, journal: Journal, source: ImageSource, outcome: 'done' | 'failed'): Promise<void> {
  const { serverId, volumeId } = source
  if (serverId !== null) {
    const during = ['image_snapshot_pending', 'image_snapshot', 'image_pending_upload', 'image_uploading'] as const
    await stores.servers.transition(serverId, { taskState: during }, { taskState: null })
    await finishAction(stores, journal, serverId, outcome)
  }
  if (volumeId !== null) {
    const status = await volumeAtRest(stores, volumeId)
    await stores.volumes.transition(volumeId, ['uploading'], { status, previousStatus: null, updatedAt: journal.now })
  }
}
