/**
 * export-image: the second half. The sealed chain is copied flat into one file, hashed and published. The source is pinned
 * by the image, so it does not matter what becomes of the server meanwhile; an image that is deleted ends the copy.
 */
import { type Image, isForeign } from '../domain/image.js'
import type { Metadata } from '../domain/metadata.js'
import { type ExportImageInput, exportImage } from '../domain/operations.js'
import { ANY } from '../ports/stores.js'
import { flattenImage, hashImage, holdUntil, note } from '../steps/image-files.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { failImage, releaseSource } from './image-parts.js'
import { retire } from './retire.js'
import { tellEvent } from './tell.js'

/** What Nova's compute adds to the properties when it uploads a server's image. */
const uploaded = ({ projectId }: Image): Metadata => ({ owner_id: projectId, image_state: 'available', image_location: 'snapshot' })

export const exportImageOperation: Operation<ExportImageInput, Tools> = {
  descriptor: exportImage,
  plan: (input) => {
    const { imageId, imageLayerId, sourceLayerId, serverId, volumeId, notActiveBefore, format = 'qcow2' } = input
    return {
      prepare: [
        note('begin-upload', async (_, stores) => {
          if (serverId !== null)
            await stores.servers.transition(serverId, { taskState: ['image_pending_upload'] }, { taskState: 'image_uploading' })
        }),
        flattenImage(imageId, sourceLayerId, imageLayerId, format),
        hashImage(imageId, imageLayerId),
        holdUntil(notActiveBefore),
      ],
      finish: [],
      async settle(_, stores, journal) {
        const { checksum, hashValue, size } = journal.facts('hash-image') as { checksum: string; hashValue: string; size: number }
        const source = await stores.layers.find(ANY, sourceLayerId)
        const virtualSize = source?.virtualSize ?? 0
        const made = await stores.images.find(ANY, imageId)
        // A foreign format's bytes are no disk to us: as a layer they are as large as their file.
        const layerSize = isForeign({ diskFormat: format }) ? Math.ceil(size / 512) * 512 : virtualSize
        await stores.layers.transition(imageLayerId, ['planned'], { state: 'sealed', virtualSize: layerSize, parentId: null })
        const active = await stores.images.transition(imageId, ['queued', 'saving'], {
          status: 'active',
          layerId: imageLayerId,
          sourceLayerId: null,
          size,
          virtualSize,
          checksum,
          hashAlgo: 'sha512',
          hashValue,
          diskFormat: format,
          containerFormat: made?.containerFormat ?? 'bare',
          updatedAt: journal.now,
        })
        const image = await stores.images.find(ANY, imageId)
        if (!active) {
          // Deleted at the last moment: its bytes are nobody's.
          await stores.quotas.release(imageId)
          await stores.images.remove(imageId)
          await retire(stores, imageLayerId, journal)
        } else if (image !== undefined) {
          if (serverId !== null && volumeId === null)
            await stores.images.update(imageId, { properties: { ...image.properties, ...uploaded(image) } })
          await tellEvent(stores, journal, { projectId: image.projectId, type: 'image', id: imageId, kind: 'image.active' })
        }
        await retire(stores, sourceLayerId, journal)
        await releaseSource(stores, journal, input, active ? 'done' : 'failed')
      },
      async abandon(_, stores, journal, { sentence }) {
        await failImage(stores, journal, input, sentence)
        await retire(stores, sourceLayerId, journal)
      },
    }
  },
}
