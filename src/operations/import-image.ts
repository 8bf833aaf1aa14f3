/** import-image: an upload's staging file is inspected and becomes the image's layer. Refused, the image waits for bytes again. */
import { type ImportImageInput, importImage } from '../domain/operations.js'
import { ANY } from '../ports/stores.js'
import { dropUpload, inspectUpload, publishUpload } from '../steps/image-files.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { forgetLayer, retire } from './retire.js'
import { tellEvent, tellUser } from './tell.js'

export const importImageOperation: Operation<ImportImageInput, Tools> = {
  descriptor: importImage,
  plan: ({ imageId, imageLayerId, stagingPath, format, size, checksum, hashValue }) => ({
    prepare: [inspectUpload(stagingPath, imageLayerId, format)],
    pivot: publishUpload(stagingPath, imageLayerId),
    finish: [dropUpload(stagingPath)],
    async settle(_, stores, journal) {
      const virtualSize = Number(journal.facts('inspect-upload')['virtualSize'])
      await stores.layers.transition(imageLayerId, ['planned'], { state: 'sealed', virtualSize })
      const found = { size, virtualSize, checksum, hashAlgo: 'sha512', hashValue, layerId: imageLayerId }
      const active = await stores.images.transition(imageId, ['saving', 'importing', 'queued'], {
        ...found,
        status: 'active',
        updatedAt: journal.now,
      })
      await stores.artefacts.remove(`staging:${imageId}`)
      const image = await stores.images.find(ANY, imageId)
      if (!active) await retire(stores, imageLayerId, journal)
      else if (image !== undefined)
        await tellEvent(stores, journal, { projectId: image.projectId, type: 'image', id: imageId, kind: 'image.active' })
    },
    async abandon(_, stores, journal, { sentence }) {
      await stores.images.transition(imageId, ['saving', 'importing'], { status: 'queued', size: null, updatedAt: journal.now })
      await forgetLayer(stores, imageLayerId)
      await stores.artefacts.remove(`staging:${imageId}`)
      const image = await stores.images.find(ANY, imageId)
      if (image === undefined) return
      await tellUser(stores, journal, { projectId: image.projectId, type: 'IMAGE', id: imageId, action: 'upload image', sentence })
      await tellEvent(stores, journal, {
        projectId: image.projectId,
        type: 'image',
        id: imageId,
        kind: 'image.error',
        payload: { sentence },
      })
    },
  }),
}
