/**
 * Nova's old view of images, for clients that never learnt Glance: the same records, with their custom properties as
 * metadata. Only properties can be changed here; everything else is Glance's.
 */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Image } from '../../domain/image.js'
import type { Metadata } from '../../domain/metadata.js'
import type { Stores } from '../../ports/stores.js'
import { settableName } from '../image/patch.js'
import { isOwner, note, visibleImage } from '../image/rules.js'
import { type ComputeDeps, MAX_METADATA_ITEMS, requireWriter } from './servers-common.js'

export type ComputeImageService = ReturnType<typeof createComputeImageService>

export function createComputeImageService({ db, clock }: Pick<ComputeDeps, 'db' | 'clock'>) {
  const changeMetadata = async <R>(
    caller: Caller,
    id: string,
    change: (old: Metadata) => Metadata,
    reply: (all: Metadata) => R,
  ): Promise<R> =>
    db.transaction(async (stores) => {
      const image = await changeable(stores, caller, id)
      const properties = change(image.properties)
      for (const name of Object.keys(properties)) if (!Object.hasOwn(image.properties, name)) settableName(name)
      if (Object.keys(properties).length > MAX_METADATA_ITEMS) throw new DomainError('overQuota', 'Image metadata limit exceeded')
      await stores.images.update(id, { properties, updatedAt: clock.now() })
      await note(stores, clock, image, 'image.update')
      return reply(properties)
    })

  return {
    show: (caller: Caller, id: string): Promise<Image> => asNova(id, visibleImage(db.read, caller, id)),

    replaceMetadata: <R>(caller: Caller, id: string, metadata: Metadata, reply: (all: Metadata) => R) =>
      changeMetadata(caller, id, () => metadata, reply),

    mergeMetadata: <R>(caller: Caller, id: string, metadata: Metadata, reply: (all: Metadata) => R) =>
      changeMetadata(caller, id, (old) => ({ ...old, ...metadata }), reply),

    deleteMetadataItem: <R>(caller: Caller, id: string, key: string, reply: (all: Metadata) => R) =>
      changeMetadata(
        caller,
        id,
        (old) => {
          if (!Object.hasOwn(old, key)) throw new DomainError('notFound', 'Invalid metadata key')
          return Object.fromEntries(Object.entries(old).filter(([name]) => name !== key))
        },
        reply,
      ),
  }
}

async function changeable(stores: Stores, caller: Caller, id: string): Promise<Image> {
  const image = await asNova(id, visibleImage(stores, caller, id))
  requireWriter(caller, 'image-metadata')
  if (!isOwner(caller, image)) throw new DomainError('forbidden', 'You are not authorized to modify this image.')
  return image
}

/** Glance's failures in Nova's words. */
export async function asNova<R>(id: string, work: Promise<R>): Promise<R> {
  try {
    return await work
  } catch (error) {
    if (error instanceof DomainError && error.kind === 'notFound')
      throw new DomainError('notFound', `Image ${id} could not be found.`, { cause: error })
    if (error instanceof DomainError && error.kind === 'forbidden')
      throw new DomainError('forbidden', 'You are not allowed to delete the image.', { cause: error })
    throw error
  }
}
