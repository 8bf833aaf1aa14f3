/**
 * Image records: create, list, show, change, delete, tags, deactivate. The bytes are in data.ts, sharing in
 * members.ts; together they are the image service.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Image, ImageMember } from '../../domain/image.js'
import { dropLayer } from '../../domain/operations.js'
import { ANY, type Query, type Stores } from '../../ports/stores.js'
import { createImageData } from './data.js'
import { createImageMembers } from './members.js'
import { checkProperties, type ImageChange, isAttribute, patchImage, propertyValue, settableName, tagText } from './patch.js'
import { changeableImage, type ImageDeps, mayHaveVisibility, mayWrite, notAuthorized, note, visibleImage } from './rules.js'

export type ImageService = ReturnType<typeof createImageService>

export interface ImageList {
  readonly where: NonNullable<Query<Image>['where']>
  readonly sort: NonNullable<Query<Image>['sort']>
  readonly limit: number
  readonly marker?: string
  readonly visibility?: Image['visibility'] | 'all'
  readonly memberStatus?: ImageMember['status'] | 'all'
  readonly tags: readonly string[]
  readonly properties: Readonly<Record<string, string>>
}

export function createImageService(deps: ImageDeps) {
  const { db, clock, doorbell, settings } = deps
  return {
    ...createImageData(deps),
    ...createImageMembers(deps),

    /** `attributes` by their wire names, as far as the caller sent them. */
    async create<R>(caller: Caller, attributes: Readonly<Record<string, unknown>>, reply: (image: Image) => R): Promise<R> {
      mayWrite(caller, 'add_image')
      const draft = newImage(caller, attributes, clock.now())
      return await db.transaction(async (stores) => {
        if ((await stores.images.find(ANY, draft.id)) !== undefined) throw new DomainError('busy', `Image ID ${draft.id} already exists!`)
        const over = await stores.quotas.take(draft.projectId, draft.id, { images: 1 })
        if (over !== undefined) throw new DomainError('tooLarge', `Project ${draft.projectId} is over a limit for image_count_total.`)
        const { seq: _seq, ...record } = draft
        await stores.images.insert(record)
        await note(stores, clock, draft, 'image.create')
        return reply(draft)
      })
    },

    async show(caller: Caller, id: string): Promise<Image> {
      return await visibleImage(db.read, caller, id)
    },

    async list(caller: Caller, query: ImageList): Promise<{ images: Image[]; more: boolean }> {
      const { marker, limit } = query
      if (marker !== undefined) await existingMarker(db.read, caller, marker)
      if (limit === 0) return { images: [], more: false }
      const images = await listFor(db.read, caller, query, limit + 1)
      return { images: images.slice(0, limit), more: images.length > limit }
    },

    async update<R>(caller: Caller, id: string, changes: readonly ImageChange[], reply: (image: Image) => R): Promise<R> {
      return await db.transaction(async (stores) => {
        const image = await heldImage(stores, caller, id)
        const changed = { ...patchImage(caller, image, changes), updatedAt: clock.now() }
        await stores.images.update(id, callersOwn(changed))
        await note(stores, clock, image, 'image.update')
        return reply(changed)
      })
    },

    /** Stops what is being made of or for it, unpins its bytes, and lets them go if nobody else stands on them. */
    async remove(caller: Caller, id: string): Promise<void> {
      await db.transaction(async (stores) => {
        const image = await changeableImage(stores, caller, id, 'delete_image')
        if (image.protected) throw new DomainError('forbidden', `Image ${id} is protected and cannot be deleted.`)
        const running = await stores.jobs.unfinished('image', id)
        for (const job of running) await stores.jobs.requestCancel(ANY, job.id)
        // A running capture or export still reads its source: the job's own end unpins that one.
        const unpin = running.length === 0 ? { sourceLayerId: null } : {}
        const from = [image.status]
        if (!(await stores.images.transition(id, from, { status: 'deleted', layerId: null, updatedAt: clock.now(), ...unpin })))
          throw new DomainError('busy', `Image ${id} could not be deleted because it is in use: its status has just changed.`)
        for (const member of await stores.imageMembers.list(ANY, { where: { imageId: { is: id } } }))
          await stores.imageMembers.remove(member.id)
        await stores.quotas.release(id)
        await note(stores, clock, image, 'image.delete')
        for (const layerId of [image.layerId, unpin.sourceLayerId === null ? image.sourceLayerId : null])
          if (layerId !== null) await dropIfUnused(stores, caller, layerId)
      })
      doorbell.ring(settings.hostId)
    },

    async addTag(caller: Caller, id: string, tag: string): Promise<void> {
      await db.transaction(async (stores) => {
        const image = await heldImage(stores, caller, id)
        if (image.tags.includes(tagText(tag))) return
        if (image.tags.length >= 128)
          throw new DomainError('tooLarge', 'The limit has been exceeded on the number of allowed image tags. Maximum: 128')
        await stores.images.update(id, { tags: [...image.tags, tag], updatedAt: clock.now() })
      })
    },

    async removeTag(caller: Caller, id: string, tag: string): Promise<void> {
      await db.transaction(async (stores) => {
        const image = await heldImage(stores, caller, id)
        if (!image.tags.includes(tag)) throw new DomainError('notFound', `Could not find tag ${tag} of image ${id}`)
        await stores.images.update(id, { tags: image.tags.filter((one) => one !== tag), updatedAt: clock.now() })
      })
    },

    deactivate: (caller: Caller, id: string) => switchTo(deps, caller, id, 'deactivated'),
    reactivate: (caller: Caller, id: string) => switchTo(deps, caller, id, 'active'),
  }
}

/** As it is once nobody else can change it until the commit. */
async function heldImage(stores: Stores, caller: Caller, id: string): Promise<Image> {
  const { status } = await changeableImage(stores, caller, id, 'modify_image')
  await stores.images.transition(id, [status], { status })
  return await changeableImage(stores, caller, id, 'modify_image')
}

/** What a caller may change, and no more: the bytes are the worker's, who may be publishing them at this moment. */
const callersOwn = (image: Image): Partial<Image> => ({
  projectId: image.projectId,
  name: image.name,
  visibility: image.visibility,
  protected: image.protected,
  hidden: image.hidden,
  diskFormat: image.diskFormat,
  containerFormat: image.containerFormat,
  minDisk: image.minDisk,
  minRam: image.minRam,
  properties: image.properties,
  tags: image.tags,
  updatedAt: image.updatedAt,
})

function newImage(caller: Caller, attributes: Readonly<Record<string, unknown>>, now: number): Image {
  const { id, ...rest } = attributes
  const properties: Record<string, string> = {}
  const changes: ImageChange[] = []
  for (const [name, value] of Object.entries(rest)) {
    settableName(name)
    if (isAttribute(name)) changes.push({ op: 'replace', name, value })
    else properties[name] = propertyValue(name, value)
  }
  const owner = attributes['owner']
  if (typeof owner === 'string' && owner !== caller.projectId && !caller.isAdmin)
    throw new DomainError('forbidden', `You are not permitted to create images owned by '${owner}'.`)
  const blank: Image = {
    id: typeof id === 'string' ? id.toLowerCase() : randomUUID(),
    seq: 0,
    projectId: caller.projectId,
    name: null,
    status: 'queued',
    visibility: 'shared',
    protected: false,
    hidden: false,
    diskFormat: null,
    containerFormat: null,
    minDisk: 0,
    minRam: 0,
    size: null,
    virtualSize: null,
    checksum: null,
    hashAlgo: null,
    hashValue: null,
    properties,
    tags: [],
    layerId: null,
    sourceLayerId: null,
    createdAt: now,
    updatedAt: now,
  }
  checkProperties(properties)
  const image = patchImage(caller, blank, changes)
  mayHaveVisibility(caller, image.visibility)
  return image
}

async function listFor(stores: Stores, caller: Caller, query: ImageList, limit: number): Promise<Image[]> {
  const status = query.where.status ?? { not: 'deleted' as const }
  return await stores.images.listVisible(caller.isAdmin ? ANY : caller.projectId, {
    where: { ...query.where, status },
    sort: query.sort,
    limit,
    ...(query.marker === undefined ? {} : { after: query.marker }),
    ...(query.visibility === undefined ? {} : { visibility: query.visibility }),
    ...(query.memberStatus === undefined ? {} : { memberStatus: query.memberStatus }),
    ...(query.tags.length === 0 ? {} : { tags: query.tags }),
    ...(Object.keys(query.properties).length === 0 ? {} : { properties: query.properties }),
  })
}

async function existingMarker(stores: Stores, caller: Caller, marker: string): Promise<void> {
  await visibleImage(stores, caller, marker).catch((error) => {
    if (error instanceof DomainError && error.kind === 'notFound')
      throw new DomainError('invalid', 'Invalid marker. Image could not be found.', { cause: error })
    throw error
  })
}

async function switchTo(deps: ImageDeps, caller: Caller, id: string, to: 'active' | 'deactivated'): Promise<void> {
  const from = to === 'active' ? 'deactivated' : 'active'
  const verb = to === 'active' ? 'reactivate' : 'deactivate'
  await deps.db.transaction(async (stores) => {
    const image = await visibleImage(stores, caller, id)
    if (!caller.isAdmin) throw notAuthorized(verb)
    if (image.status === to) return
    if (image.status !== from || !(await stores.images.transition(id, [from], { status: to, updatedAt: deps.clock.now() })))
      throw new DomainError('forbidden', `Not allowed to ${verb} image in status '${image.status}'`)
    await note(stores, deps.clock, image, `image.${verb}`)
  })
}

/** With a child or a pin it stays as it is: shared, and dropped by whoever lets go of it last. */
async function dropIfUnused(stores: Stores, caller: Caller, layerId: string): Promise<void> {
  const layer = await stores.layers.find(ANY, layerId)
  if (layer === undefined || layer.state !== 'sealed') return
  if ((await stores.layers.children(layerId)).length > 0 || (await stores.layers.pins(layerId)).length > 0) return
  const pool = await stores.pools.find(ANY, layer.poolId)
  if (pool === undefined) return
  const origin = { projectId: layer.projectId, userId: caller.userId, requestId: caller.requestId }
  await stores.jobs.enqueue(dropLayer, { layerId }, { hostId: pool.hostId, origin })
}
