/**
 * Who may see and change an image, and the small steps every image verb repeats. An image is visible to its project,
 * to its members, and to all when public or community; to everyone else it does not exist. What one may see but not
 * change is 403, as Glance has it.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import { EXPORT_FORMATS, type Image, isForeign } from '../../domain/image.js'
import type { Clock } from '../../ports/clock.js'
import type { Doorbell } from '../../ports/doorbell.js'
import type { ImageStore } from '../../ports/image-store.js'
import { ANY, type Database, type Stores } from '../../ports/stores.js'

export interface ImageSettings {
  readonly hostId: string
  readonly maxImageSize: number
}

export interface ImageDeps {
  readonly db: Database
  readonly doorbell: Doorbell
  readonly clock: Clock
  readonly settings: ImageSettings
  readonly imageStore: ImageStore
}

/** Formats we take: disks QEMU opens as what they are, and the three parts of a direct boot. */
export const DISK_FORMATS = ['ami', 'ari', 'aki', 'raw', 'qcow2'] as const
/** Formats an image may be seen in: also those volumes are written out as. */
export const SHOWN_DISK_FORMATS = [...new Set([...DISK_FORMATS, ...EXPORT_FORMATS])] as const
export const CONTAINER_FORMATS = ['ami', 'ari', 'aki', 'bare'] as const

export const noImage = (id: string): DomainError => new DomainError('notFound', `No image found with ID ${id}`)
export const notAuthorized = (action: string): DomainError =>
  new DomainError('forbidden', `You are not authorized to complete ${action} action.`)

export async function visibleImage(stores: Stores, caller: Caller, id: string): Promise<Image> {
  const image = caller.isAdmin ? await stores.images.find(ANY, id) : await stores.images.findVisible(caller.projectId, id)
  if (image === undefined || image.status === 'deleted') throw noImage(id)
  return image
}

/** The image, if the caller may change it. `action` is Glance's name of the policy. */
export async function changeableImage(stores: Stores, caller: Caller, id: string, action: string): Promise<Image> {
  const image = await visibleImage(stores, caller, id)
  if (!isOwner(caller, image)) throw notAuthorized(action)
  mayWrite(caller, action)
  return image
}

/** An image written out for another cloud is no disk here: nothing opens its bytes. */
export function requireDisk(image: Pick<Image, 'id' | 'diskFormat'>): void {
  if (isForeign(image))
    throw new DomainError(
      'invalid',
      `Image ${image.id} is unacceptable: one of disk format '${image.diskFormat}' can only be downloaded here.`,
    )
}

/** Readers look. */
export function mayWrite(caller: Caller, action: string): void {
  if (!caller.isAdmin && !caller.roles.includes('member')) throw notAuthorized(action)
}

export const isOwner = (caller: Caller, image: Image): boolean => caller.isAdmin || image.projectId === caller.projectId

export function mayHaveVisibility(caller: Caller, visibility: Image['visibility']): void {
  if (visibility === 'public' && !caller.isAdmin) throw notAuthorized('publicize_image')
}

export async function note(stores: Stores, clock: Clock, image: Pick<Image, 'id' | 'projectId'>, kind: string): Promise<void> {
  await stores.events.insert({
    id: randomUUID(),
    projectId: image.projectId,
    resourceType: 'image',
    resourceId: image.id,
    kind,
    payload: {},
    createdAt: clock.now(),
  })
}
