/** An image as Nova showed it before clients spoke to Glance: words in capitals, progress in quarters. */
import type { Image, ImageStatus } from '../../../src/domain/image.js'
import type { Here } from '../../contract.js'
import { bookmark, resourceLinks, seconds } from './links.js'

type Word = 'ACTIVE' | 'SAVING' | 'DELETED' | 'ERROR' | 'UNKNOWN'

export const IMAGE_WORDS: Readonly<Record<ImageStatus, Word>> = {
  active: 'ACTIVE',
  queued: 'SAVING',
  saving: 'SAVING',
  importing: 'SAVING',
  deleted: 'DELETED',
  killed: 'ERROR',
  deactivated: 'UNKNOWN',
}
const PROGRESS: Partial<Record<ImageStatus, number>> = { queued: 25, saving: 50, importing: 50, active: 100 }

export const computeImageSummary = (image: Image, here: Here) => ({
  id: image.id,
  name: image.name,
  links: [
    ...resourceLinks(here, 'images', image.id),
    { rel: 'alternate', type: 'application/vnd.openstack.image', href: `${here.origin}/image/images/${image.id}` },
  ],
})

export function computeImageView(image: Image, here: Here) {
  const serverId = image.properties['instance_uuid']
  const diskConfig = image.properties['auto_disk_config']?.toLowerCase()
  return {
    ...computeImageSummary(image, here),
    status: IMAGE_WORDS[image.status],
    progress: PROGRESS[image.status] ?? 0,
    minDisk: image.minDisk,
    minRam: image.minRam,
    metadata: { ...image.properties },
    created: seconds(image.createdAt),
    updated: seconds(image.updatedAt),
    'OS-EXT-IMG-SIZE:size': image.size ?? 0,
    ...(serverId === undefined
      ? {}
      : {
          server: {
            id: serverId,
            links: [{ rel: 'self', href: `${here.service}/v2.1/servers/${serverId}` }, bookmark(here, 'servers', serverId)],
          },
        }),
    ...(diskConfig === undefined ? {} : { 'OS-DCF:diskConfig': diskConfig === 'true' ? ('AUTO' as const) : ('MANUAL' as const) }),
  }
}
