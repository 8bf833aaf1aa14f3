import type { Handler } from '../../contract.js'
import { imageView } from '../../views/image/image.js'
import { listOf, pageLinks } from './list-query.js'
import { changesOf } from './patch.js'

export const listImages: Handler<'listImages'> = async ({ here, caller, services, reply }) => {
  const { images, more } = await services.image.list(caller, listOf(here.search))
  const last = more ? images.at(-1) : undefined
  return reply(200, { images: images.map(imageView), ...pageLinks(here.search, last?.id), schema: '/v2/schemas/images' })
}

export const createImage: Handler<'createImage'> = async ({ body, here, caller, services, reply }) =>
  services.image.create(caller, body, (image) => reply(201, imageView(image), { location: `${here.service}/v2/images/${image.id}` }))

export const showImage: Handler<'showImage'> = async ({ path, caller, services, reply }) =>
  reply(200, imageView(await services.image.show(caller, path.image_id)))

export const updateImage: Handler<'updateImage'> = async ({ path, body, headers, caller, services, reply }) =>
  services.image.update(caller, path.image_id, changesOf(body, headers['content-type']), (image) => reply(200, imageView(image)))

export const deleteImage: Handler<'deleteImage'> = async ({ path, caller, services, reply }) => {
  await services.image.remove(caller, path.image_id)
  return reply(204)
}

export const deactivateImage: Handler<'deactivateImage'> = async ({ path, caller, services, reply }) => {
  await services.image.deactivate(caller, path.image_id)
  return reply(204)
}

export const reactivateImage: Handler<'reactivateImage'> = async ({ path, caller, services, reply }) => {
  await services.image.reactivate(caller, path.image_id)
  return reply(204)
}

export const addImageTag: Handler<'addImageTag'> = async ({ path, caller, services, reply }) => {
  await services.image.addTag(caller, path.image_id, path.tag)
  return reply(204)
}

export const deleteImageTag: Handler<'deleteImageTag'> = async ({ path, caller, services, reply }) => {
  await services.image.removeTag(caller, path.image_id, path.tag)
  return reply(204)
}
