/** Images as Glance shows them: base attributes and custom properties side by side, dates in whole seconds. */
import type { Image, ImageMember } from '../../../src/domain/image.js'
import type { Micros } from '../../../src/domain/time.js'
import type { components } from '../../generated/openapi.js'

type ImageBody = components['schemas']['Image']
type MemberBody = components['schemas']['ImageMember']

const IMAGE_SCHEMA = '/v2/schemas/image'

export function imageView(image: Image): ImageBody {
  const path = `/v2/images/${image.id}`
  return {
    ...image.properties,
    name: image.name,
    disk_format: image.diskFormat,
    container_format: image.containerFormat,
    visibility: image.visibility,
    size: image.size,
    virtual_size: image.virtualSize,
    status: image.status,
    checksum: image.checksum,
    protected: image.protected,
    min_ram: image.minRam,
    min_disk: image.minDisk,
    owner: image.projectId,
    os_hidden: image.hidden,
    os_hash_algo: image.hashAlgo,
    os_hash_value: image.hashValue,
    id: image.id,
    created_at: seconds(image.createdAt),
    updated_at: seconds(image.updatedAt),
    tags: [...image.tags],
    self: path,
    file: `${path}/file`,
    schema: IMAGE_SCHEMA,
  }
}

export function memberView(member: ImageMember): MemberBody {
  return {
    image_id: member.imageId,
    member_id: member.memberId,
    status: member.status,
    created_at: seconds(member.createdAt),
    updated_at: seconds(member.updatedAt),
    schema: '/v2/schemas/member',
  }
}

const seconds = (at: Micros): string => new Date(at / 1000).toISOString().replace(/\.\d+Z$/, 'Z')
