/**
 * The bytes of an image, in and out. An upload is written to a staging file that is in the ledger before it is made,
 * then handed to the worker (`import-image`), which looks at it before any tool does. The answer waits for the job, so
 * a 204 means: inspected, published, durable. A broken upload leaves a queued image and no file.
 */
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Image } from '../../domain/image.js'
import { FINISHED, type Job } from '../../domain/job.js'
import { layerFileName } from '../../domain/names.js'
import { importImage } from '../../domain/operations.js'
import type { ByteRange, Received } from '../../ports/image-store.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { serviceEnds, untilEnded } from './arriving-bytes.js'
import { changeableImage, type ImageDeps, noImage, note, visibleImage } from './rules.js'

/** An upload of a living process that has not touched its staging file for so long is stuck: it does every few seconds. */
const ABANDONED_AFTER_MS = 60_000

/** So the inspector begins; any other failure is ours and no fault of the bytes. */
const REFUSED = 'The image was refused'

export interface Download {
  readonly image: Image
  readonly size: number
  /** Null: the whole image. */
  readonly range: ByteRange | null
  readonly bytes: Readable
}

export function createImageData(deps: ImageDeps) {
  const { db, clock, doorbell, settings, imageStore } = deps
  const ending = new AbortController()
  const receiving = new Set<Promise<unknown>>()
  return {
    async upload(caller: Caller, imageId: string, source: AsyncIterable<Uint8Array>): Promise<void> {
      if (ending.signal.aborted) throw serviceEnds()
      const path = imageStore.stagingPath(imageId, randomUUID())
      const received = receiveAndEnqueue(deps, caller, imageId, path, untilEnded(source, ending.signal))
      receiving.add(received)
      const jobId = await received.finally(() => receiving.delete(received))
      doorbell.ring(settings.hostId)
      const job = await jobEnd(deps, jobId)
      if (job.state === 'done') return
      await imageStore.removeStaging(path)
      if (job.state === 'cancelled' || (await db.read.images.find(ANY, imageId))?.status === 'deleted')
        throw new DomainError(
          'notFound',
          `Image ${imageId} could not be found after upload. The image may have been deleted during the upload.`,
        )
      if (job.error?.message.startsWith(REFUSED) !== true)
        throw new DomainError('unavailable', `Image ${imageId} could not be stored. It is queued again: please try later.`)
      throw new DomainError('invalid', job.error.message)
    },

    /** Undefined: there is no data yet. `pick` chooses the bytes once the size is known. */
    async download(caller: Caller, imageId: string, pick: (size: number) => ByteRange | null): Promise<Download | undefined> {
      const image = await visibleImage(db.read, caller, imageId)
      if (image.status === 'deactivated' && !caller.isAdmin)
        throw new DomainError('forbidden', 'The requested image has been deactivated. Image data download is forbidden.')
      if (image.layerId === null) return undefined
      const layer = await db.read.layers.find(ANY, image.layerId)
      const pool = layer === undefined ? undefined : await db.read.pools.find(ANY, layer.poolId)
      if (layer === undefined || pool === undefined) throw noImage(imageId)
      const path = `${pool.path}/${layer.fileName}`
      const size = image.size ?? (await imageStore.length(path)) ?? 0
      const range = pick(size)
      const wanted = range ?? { first: 0, last: size - 1 }
      const bytes = wanted.last < wanted.first ? Readable.from([]) : await imageStore.read(path, wanted)
      return { image, size, range, bytes }
    },

    /** Breaks off what still comes in and takes nothing more; resolves when the images are queued again and the files gone. */
    async endUploads(): Promise<void> {
      ending.abort()
      await Promise.allSettled(receiving)
    },

    /** Uploads whose process died: staging file removed, image back to queued. For the start of a process and now and then. */
    async sweepUploads(): Promise<number> {
      const found = await db.read.artefacts.list(ANY, { where: { kind: { is: 'staging-file' }, hostId: { is: settings.hostId } } })
      let swept = 0
      for (const artefact of found) {
        if ((await db.read.jobs.unfinished('image', artefact.ownerId)).length > 0) continue
        const idle = await imageStore.idleFor(artefact.location)
        const age = idle ?? (clock.now() - artefact.createdAt) / 1000
        if (age < ABANDONED_AFTER_MS && !(await imageStore.isOrphaned(artefact.location))) continue
        await giveUp(deps, artefact.ownerId, artefact.location)
        swept++
      }
      return swept
    },
  }
}

/** One upload at a time: an image is `saving` for one only. */
const artefactId = (imageId: string): string => `staging:${imageId}`

async function startUpload(deps: ImageDeps, stores: Stores, caller: Caller, imageId: string, path: string): Promise<Image> {
  const image = await changeableImage(stores, caller, imageId, 'upload_image')
  if (image.status !== 'queued') throw new DomainError('busy', `Image status transition from ${image.status} to saving is not allowed`)
  const missing = [...(image.diskFormat === null ? ['disk_format'] : []), ...(image.containerFormat === null ? ['container_format'] : [])]
  if (missing.length > 0) throw new DomainError('invalid', `Properties ${missing.join(', ')} must be set prior to saving data.`)
  if (!(await stores.images.transition(imageId, ['queued'], { status: 'saving', updatedAt: deps.clock.now() })))
    throw new DomainError('busy', 'Image status transition from saving to saving is not allowed')
  await stores.artefacts.insert({
    id: artefactId(imageId),
    kind: 'staging-file',
    hostId: deps.settings.hostId,
    location: path,
    ownerType: 'image',
    ownerId: imageId,
    createdAt: deps.clock.now(),
  })
  return image
}

async function receiveAndEnqueue(
  deps: ImageDeps,
  caller: Caller,
  imageId: string,
  path: string,
  source: AsyncIterable<Uint8Array>,
): Promise<string> {
  const image = await deps.db.transaction((stores) => startUpload(deps, stores, caller, imageId, path))
  try {
    const received = await deps.imageStore.receive(path, source, deps.settings.maxImageSize)
    return await deps.db.transaction((stores) => enqueueImport(deps, stores, caller, image, path, received))
  } catch (error) {
    await giveUp(deps, image.id, path)
    throw error
  }
}

async function enqueueImport(
  deps: ImageDeps,
  stores: Stores,
  caller: Caller,
  image: Image,
  path: string,
  received: Received,
): Promise<string> {
  const { clock, settings } = deps
  const [pool] = await stores.pools.list(ANY, { where: { hostId: { is: settings.hostId }, isDefault: { is: true } }, limit: 1 })
  if (pool === undefined) throw new DomainError('unavailable', 'There is no storage for images on this host.')
  // Deleted while its bytes came in, or taken for dead and begun anew by somebody: nothing to import them into.
  const isOurs = (await stores.artefacts.find(ANY, artefactId(image.id)))?.location === path
  if (!isOurs || !(await stores.images.transition(image.id, ['saving'], { updatedAt: clock.now() }))) throw noImage(image.id)
  const imageLayerId = randomUUID()
  const format = image.diskFormat === 'qcow2' ? 'qcow2' : 'raw'
  const fileName = layerFileName(imageLayerId, format)
  await stores.layers.insert({
    id: imageLayerId,
    poolId: pool.id,
    projectId: image.projectId,
    parentId: null,
    fileName,
    format,
    virtualSize: received.size,
    state: 'planned',
    origin: 'image',
    createdAt: clock.now(),
  })
  await stores.artefacts.insert({
    id: `layer:${imageLayerId}`,
    kind: 'layer-file',
    hostId: settings.hostId,
    location: `${pool.path}/${fileName}`,
    ownerType: 'layer',
    ownerId: imageLayerId,
    createdAt: clock.now(),
  })
  await note(stores, clock, image, 'image.upload')
  const input = {
    imageId: image.id,
    imageLayerId,
    stagingPath: path,
    format,
    size: received.size,
    checksum: received.md5,
    hashValue: received.sha512,
  } as const
  const origin = { projectId: image.projectId, userId: caller.userId, requestId: caller.requestId }
  return await stores.jobs.enqueue(importImage, input, { hostId: settings.hostId, origin })
}

/** File first: a ledger line without a file is harmless, a file without a line is lost. */
async function giveUp(deps: ImageDeps, imageId: string, path: string): Promise<void> {
  await deps.imageStore.removeStaging(path)
  await deps.db.transaction(async (stores) => {
    if ((await stores.artefacts.find(ANY, artefactId(imageId)))?.location !== path) return
    await stores.artefacts.remove(artefactId(imageId))
    await stores.images.transition(imageId, ['saving'], { status: 'queued', updatedAt: deps.clock.now() })
  })
}

/** The job's row is the truth; asked often at first, since an import takes milliseconds. */
async function jobEnd(deps: ImageDeps, jobId: string): Promise<Job> {
  for (let wait = 4; ; wait = Math.min(250, wait * 1.4)) {
    const job = await deps.db.read.jobs.find(ANY, jobId)
    if (job === undefined) throw new DomainError('unavailable', 'The import of this image was lost.')
    if (FINISHED.includes(job.state) || job.state === 'needs_attention') return job
    await deps.clock.sleep(wait)
  }
}
