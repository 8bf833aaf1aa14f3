import { DomainError } from '../../../src/domain/errors.js'
import type { Image } from '../../../src/domain/image.js'
import { asNova } from '../../../src/services/compute/images.js'
import type { ImageList } from '../../../src/services/image/images.js'
import type { Handler, Here } from '../../contract.js'
import { computeImageSummary, computeImageView, IMAGE_WORDS } from '../../views/compute/image.js'
import { nextLink } from '../../views/compute/links.js'
import { limitOf, momentOf, requireMetadataKeys } from './wire.js'

export const listComputeImages: Handler<'listComputeImages'> = async ({ here, caller, services, reply }) => {
  const query = listOf(here)
  const { images } = await services.image.list(caller, query)
  const links = nextLink(here, images, query.limit)
  return reply(200, {
    images: images.map((image) => computeImageSummary(image, here)),
    ...(links === undefined ? {} : { images_links: links }),
  })
}

export const listComputeImagesDetail: Handler<'listComputeImagesDetail'> = async ({ here, caller, services, reply }) => {
  const query = listOf(here)
  const { images } = await services.image.list(caller, query)
  const links = nextLink(here, images, query.limit)
  return reply(200, {
    images: images.map((image) => computeImageView(image, here)),
    ...(links === undefined ? {} : { images_links: links }),
  })
}

export const showComputeImage: Handler<'showComputeImage'> = async ({ path, here, caller, services, reply }) =>
  reply(200, { image: computeImageView(await services.compute.images.show(caller, path.image_id), here) })

export const deleteComputeImage: Handler<'deleteComputeImage'> = async ({ path, caller, services, reply }) => {
  await asNova(path.image_id, services.image.remove(caller, path.image_id))
  return reply(204)
}

export const showComputeImageMetadata: Handler<'showComputeImageMetadata'> = async ({ path, caller, services, reply }) =>
  reply(200, { metadata: { ...(await services.compute.images.show(caller, path.image_id)).properties } })

export const mergeComputeImageMetadata: Handler<'mergeComputeImageMetadata'> = async ({ path, body, caller, services, reply }) =>
  services.compute.images.mergeMetadata(caller, path.image_id, requireMetadataKeys(body.metadata), (all) =>
    reply(200, { metadata: { ...all } }),
  )

export const replaceComputeImageMetadata: Handler<'replaceComputeImageMetadata'> = async ({ path, body, caller, services, reply }) =>
  services.compute.images.replaceMetadata(caller, path.image_id, requireMetadataKeys(body.metadata), (all) =>
    reply(200, { metadata: { ...all } }),
  )

export const showComputeImageMetadataItem: Handler<'showComputeImageMetadataItem'> = async ({ path, caller, services, reply }) => {
  const { properties } = await services.compute.images.show(caller, path.image_id)
  const value = Object.hasOwn(properties, path.key) ? properties[path.key] : undefined
  if (value === undefined) throw new DomainError('notFound', 'Metadata item was not found')
  return reply(200, { meta: { [path.key]: value } })
}

export const setComputeImageMetadataItem: Handler<'setComputeImageMetadataItem'> = async ({ path, body, caller, services, reply }) => {
  const meta = requireMetadataKeys(body.meta, 'meta')
  if (!Object.hasOwn(meta, path.key)) throw new DomainError('invalid', 'Request body and URI mismatch')
  return services.compute.images.mergeMetadata(caller, path.image_id, meta, () => reply(200, { meta: { ...meta } }))
}

export const deleteComputeImageMetadataItem: Handler<'deleteComputeImageMetadataItem'> = async ({ path, caller, services, reply }) =>
  services.compute.images.deleteMetadataItem(caller, path.image_id, path.key, () => reply(204))

function listOf({ search }: Here): ImageList {
  const text = (name: string) => search.get(name) ?? undefined
  const status = text('status')
  const since = text('changes-since')
  const name = text('name')
  const marker = text('marker')
  const type = text('type')
  const server = text('server')?.split('/').at(-1)
  return {
    where: {
      hidden: { is: false },
      ...(name === undefined ? {} : { name: { is: name } }),
      ...(status === undefined ? {} : { status: { in: statusesOf(status) } }),
      ...(since === undefined ? {} : { updatedAt: { atLeast: momentOf(since, 'changes-since') } }),
    },
    sort: [{ key: 'createdAt', dir: 'desc' }],
    limit: limitOf(search.get('limit')),
    tags: [],
    properties: { ...(type === undefined ? {} : { image_type: type }), ...(server === undefined ? {} : { instance_uuid: server }) },
    ...(marker === undefined || marker === '' ? {} : { marker }),
  }
}

/** Every status that is shown as this word; a word of Glance's own stands for itself. */
function statusesOf(word: string): Image['status'][] {
  const all = Object.keys(IMAGE_WORDS) as Image['status'][]
  return all.filter((status) => IMAGE_WORDS[status] === word.toUpperCase() || status === word)
}
