/**
 * capture-image: the first half of an image of a disk. Its top is sealed under a new overlay, as for a snapshot nobody
 * sees, and pinned by the image; the copy (export-image) follows and holds no chain of the disk's.
 */
import { type CaptureImageInput, captureImage, exportImage } from '../domain/operations.js'
import { millisToMicros } from '../domain/time.js'
import { ANY } from '../ports/stores.js'
import { note } from '../steps/image-files.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { qemuExternal } from '../strategies/qemu-external.js'
import { forgetPlanned, isBroken, recordSwitch, reportOf } from './capture.js'
import { failImage } from './image-parts.js'
import { retire } from './retire.js'
import { shorten } from './shorten.js'
import { originOf } from './tell.js'

/** Clients look for `saving` at least this long. */
const SHOWN = millisToMicros(300)

export const captureImageOperation: Operation<CaptureImageInput, Tools> = {
  descriptor: captureImage,
  plan: (input) => {
    const { imageId, serverId, volumeId, source, quiesce } = input
    const capture = { serverId, switches: [source], quiesce }
    const { prepare, ...rest } = qemuExternal.create(capture)
    const begin = note('begin-image', async (_, stores) => {
      if (serverId !== null)
        await stores.servers.transition(serverId, { taskState: ['image_snapshot_pending'] }, { taskState: 'image_snapshot' })
    })
    return {
      prepare: [begin, ...prepare],
      ...rest,
      async settle(_, stores, journal) {
        const sourceLayerId = (await recordSwitch(stores, [source])).get(source.diskId) ?? null
        const broken = isBroken(await reportOf(stores, journal, capture))
        const image = await stores.images.find(ANY, imageId)
        const wanted = image !== undefined && image.status !== 'deleted' && sourceLayerId !== null
        if (broken || !wanted) {
          const sentence = broken ? 'The guest did not stay frozen until its disk was switched.' : 'The image was deleted.'
          await failImage(stores, journal, input, sentence)
          await retire(stores, sourceLayerId, journal)
          return journal.fail(sentence)
        }
        await stores.images.transition(imageId, ['queued', 'saving'], { status: 'saving', sourceLayerId, updatedAt: journal.now })
        if (serverId !== null)
          await stores.servers.transition(
            serverId,
            { taskState: ['image_snapshot_pending', 'image_snapshot'] },
            { taskState: 'image_pending_upload' },
          )
        const { imageLayerId, format = 'qcow2' } = input
        const next = { imageId, imageLayerId, sourceLayerId, serverId, volumeId, notActiveBefore: journal.now + SHOWN, format }
        await shorten(stores, [source.diskId], journal)
        await stores.jobs.enqueue(exportImage, next, { hostId: journal.hostId, origin: originOf(journal) })
      },
      async abandon(_, stores, journal, { sentence }) {
        await forgetPlanned(stores, [source.layerId], journal)
        await failImage(stores, journal, input, sentence)
      },
    }
  },
}
