/** The JSON schemas clients ask for before they show or change an image: what is base, what is read-only, what is free. */
import { CONTAINER_FORMATS, SHOWN_DISK_FORMATS } from '../../../src/services/image/rules.js'

type Property = Readonly<Record<string, unknown>>

const text = (description: string, extra: Property = {}): Property => ({ type: 'string', description, ...extra })
const nullable = (description: string, extra: Property = {}): Property => ({ type: ['null', 'string'], description, ...extra })
const whole = (description: string, extra: Property = {}): Property => ({ type: 'integer', description, ...extra })
const readOnly = { readOnly: true } as const

const UUID = '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$'

const IMAGE: Readonly<Record<string, Property>> = {
  id: text('An identifier for the image', { pattern: UUID }),
  name: nullable('Descriptive name for the image', { maxLength: 255 }),
  status: text('Status of the image', {
    ...readOnly,
    enum: ['queued', 'saving', 'active', 'killed', 'deleted', 'deactivated', 'importing'],
  }),
  visibility: text('Scope of image accessibility', { enum: ['community', 'public', 'private', 'shared'] }),
  protected: { type: 'boolean', description: 'If true, image will not be deletable.' },
  os_hidden: { type: 'boolean', description: 'If true, image will not appear in default image list response.' },
  checksum: nullable('md5 hash of image contents.', { ...readOnly, maxLength: 32 }),
  os_hash_algo: nullable('Algorithm to calculate the os_hash_value', { ...readOnly, maxLength: 64 }),
  os_hash_value: nullable('Hexdigest of the image contents using the algorithm specified by the os_hash_algo', {
    ...readOnly,
    maxLength: 128,
  }),
  owner: nullable('Owner of the image', { maxLength: 255 }),
  size: { type: ['null', 'integer'], description: 'Size of image file in bytes', ...readOnly },
  virtual_size: { type: ['null', 'integer'], description: 'Virtual size of image in bytes', ...readOnly },
  container_format: nullable('Format of the container', { enum: [null, ...CONTAINER_FORMATS] }),
  disk_format: nullable('Format of the disk', { enum: [null, ...SHOWN_DISK_FORMATS] }),
  created_at: text('Date and time of image registration', readOnly),
  updated_at: text('Date and time of the last image modification', readOnly),
  tags: { type: 'array', description: 'List of strings related to the image', items: { type: 'string', maxLength: 255 } },
  min_ram: whole('Amount of ram (in MB) required to boot image.'),
  min_disk: whole('Amount of disk space (in GB) required to boot image.'),
  self: text('An image self url', readOnly),
  file: text('An image file url', readOnly),
  schema: text('An image schema url', readOnly),
  kernel_id: nullable('ID of the image that is the kernel of a direct boot.', { pattern: UUID, is_base: false }),
  ramdisk_id: nullable('ID of the image that is the ramdisk of a direct boot.', { pattern: UUID, is_base: false }),
}

const MEMBER: Readonly<Record<string, Property>> = {
  member_id: text('An identifier for the image member (tenantId)'),
  image_id: text('An identifier for the image', { pattern: UUID }),
  created_at: text('Date and time of image member creation'),
  updated_at: text('Date and time of last modification of image member'),
  status: text('The status of this image member', { enum: ['pending', 'accepted', 'rejected'] }),
  schema: text('', readOnly),
}

export const imageSchema = () => ({
  name: 'image',
  properties: { ...IMAGE },
  additionalProperties: { type: 'string' },
  links: ['self', 'file', 'schema'].map((rel) => ({
    rel: rel === 'file' ? 'enclosure' : rel === 'schema' ? 'describedby' : rel,
    href: `{${rel}}`,
  })),
})
export const memberSchema = () => ({ name: 'member', properties: { ...MEMBER } })

export const imagesSchema = () => ({
  name: 'images',
  properties: {
    images: { type: 'array', items: imageSchema() },
    first: text(''),
    next: text(''),
    schema: text(''),
  },
  links: [
    { rel: 'first', href: '{first}' },
    { rel: 'next', href: '{next}' },
    { rel: 'describedby', href: '{schema}' },
  ],
})
export const membersSchema = () => ({
  name: 'members',
  properties: { members: { type: 'array', items: memberSchema() }, schema: text('') },
  links: [{ rel: 'describedby', href: '{schema}' }],
})
