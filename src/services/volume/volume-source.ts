/** Where a new volume's bytes come from: looked up as the caller may see it, held until the commit, refused in Cinder's words. */
import type { Caller } from '../../domain/caller.js'
import type { Disk, Layer } from '../../domain/disk.js'
import { DomainError } from '../../domain/errors.js'
import type { Image } from '../../domain/image.js'
import type { Metadata } from '../../domain/metadata.js'
import type { VolumeType } from '../../domain/volume.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { requireDisk } from '../image/rules.js'
import { findSnapshot, findVolume, GIB, invalidInput, invalidSnapshot, invalidVolume } from './access.js'

export interface NewVolume {
  readonly name: string | null
  readonly description: string | null
  /** Null: as large as the source. */
  readonly sizeGib: number | null
  readonly metadata: Metadata
  /** Name or id. */
  readonly volumeType: string | null
  readonly availabilityZone: string | null
  readonly imageRef: string | null
  readonly snapshotId: string | null
  readonly sourceVolumeId: string | null
  /** A group or a backup: there are none here, so any id is an unknown one. */
  readonly unsupported: { readonly what: string; readonly id: string } | null
  /** From 3.46 an image that only points at a volume snapshot stands for that snapshot. */
  readonly followsImageSnapshots: boolean
}

interface Inherited {
  readonly type: VolumeType | undefined
  readonly defaultSizeGib: number | null
  readonly checkSize: (sizeGib: number) => void
  readonly bootable: boolean
  readonly imageMetadata: Metadata | null
  readonly snapshotId: string | null
  readonly volumeId: string | null
  readonly imageId: string | null
}
export type VolumeSource = Inherited &
  ({ readonly kind: 'blank' } | { readonly kind: 'layer'; readonly layer: Layer } | { readonly kind: 'volume'; readonly disk: Disk })

const NOTHING: Inherited = {
  type: undefined,
  defaultSizeGib: null,
  checkSize: () => {},
  bootable: false,
  imageMetadata: null,
  snapshotId: null,
  volumeId: null,
  imageId: null,
}

/**
 * In the accepting transaction: whatever it turns out to be, its row is written before it is read for good, so that what
 * is read stays true until the commit. Who deletes it waits, or has been first and is seen.
 */
export async function resolveSource(stores: Stores, caller: Caller, request: NewVolume): Promise<VolumeSource> {
  if (request.snapshotId !== null) return fromSnapshot(stores, caller, request.snapshotId)
  if (request.sourceVolumeId !== null) return fromVolume(stores, caller, request.sourceVolumeId)
  if (request.imageRef !== null) return fromImage(stores, caller, request, request.imageRef)
  return { ...NOTHING, kind: 'blank' }
}

async function fromSnapshot(stores: Stores, caller: Caller, id: string): Promise<VolumeSource> {
  await stores.snapshots.transition(id, ['available'], { status: 'available' })
  const snapshot = await findSnapshot(stores, caller, id)
  const layer = snapshot.layerId === null ? undefined : await stores.layers.find(ANY, snapshot.layerId)
  if (layer === undefined || snapshot.status !== 'available')
    throw invalidSnapshot("Originating snapshot status must be one of 'available' values")
  const origin = snapshot.volumeId === null ? undefined : await stores.volumes.find(ANY, snapshot.volumeId)
  return {
    ...NOTHING,
    kind: 'layer',
    layer,
    type: origin && (await stores.volumeTypes.find(ANY, origin.volumeTypeId)),
    defaultSizeGib: snapshot.sizeGib,
    checkSize: (size) => {
      if (size < snapshot.sizeGib)
        throw invalidInput(
          `Volume size '${size}'GB cannot be smaller than the snapshot size ${snapshot.sizeGib}GB. They must be >= original snapshot size.`,
        )
    },
    bootable: origin?.bootable ?? false,
    imageMetadata: origin?.imageMetadata ?? null,
    snapshotId: snapshot.id,
  }
}

async function fromVolume(stores: Stores, caller: Caller, id: string): Promise<VolumeSource> {
  for (const status of ['available', 'in-use'] as const) await stores.volumes.transition(id, [status], { status })
  const volume = await findVolume(stores, caller, id)
  const disk = await stores.disks.find(ANY, volume.diskId)
  if (disk?.topLayerId == null || !['available', 'in-use'].includes(volume.status))
    throw invalidVolume("Originating source volume status must be one of 'available, in-use' values")
  return {
    ...NOTHING,
    kind: 'volume',
    disk,
    type: await stores.volumeTypes.find(ANY, volume.volumeTypeId),
    defaultSizeGib: volume.sizeGib,
    checkSize: (size) => {
      if (size < volume.sizeGib)
        throw invalidInput(
          `Volume size '${size}'GB cannot be smaller than original volume size  ${volume.sizeGib}GB. They must be >= original volume size.`,
        )
    },
    bootable: volume.bootable,
    imageMetadata: volume.imageMetadata,
    volumeId: volume.id,
  }
}

async function fromImage(stores: Stores, caller: Caller, request: NewVolume, reference: string): Promise<VolumeSource> {
  const { id } = await findImage(stores, caller, reference)
  await stores.images.transition(id, ['active'], { status: 'active' })
  const image = await findImage(stores, caller, id)
  const pointed = request.followsImageSnapshots ? bootSnapshotOf(image) : undefined
  if (pointed !== undefined) return fromSnapshot(stores, caller, pointed)
  const layer = image.layerId === null ? undefined : await stores.layers.find(ANY, image.layerId)
  if (layer === undefined || image.status !== 'active') throw invalidInput(`Image ${image.id} is not active.`)
  requireDisk(image)
  const needsGib = Math.ceil(Math.max(layer.virtualSize, image.virtualSize ?? 0, image.size ?? 0) / GIB)
  return {
    ...NOTHING,
    kind: 'layer',
    layer,
    checkSize: (size) => {
      if (needsGib > size) throw invalidInput(`Size of specified image ${needsGib}GB is larger than volume size ${size}GB.`)
      if (image.minDisk > size)
        throw invalidInput(`Volume size ${size}GB cannot be smaller than the image minDisk size ${image.minDisk}GB.`)
    },
    bootable: true,
    imageMetadata: imageMetadataOf(image),
    imageId: image.id,
  }
}

/** By id, by the last part of a link, or by a name only one image has. */
async function findImage(stores: Stores, caller: Caller, reference: string): Promise<Image> {
  const find = (imageId: string) =>
    caller.isAdmin ? stores.images.find(ANY, imageId) : stores.images.findVisible(caller.projectId, imageId)
  const byId = await find(reference.split('/').at(-1) ?? '')
  if (byId !== undefined) return byId
  const named = await stores.images.listVisible(caller.projectId, { where: { name: { is: reference } }, limit: 2 })
  if (named.length > 1) throw new DomainError('busy', `Multiple matches found for '${reference}', use an ID to be more specific.`)
  if (named[0] === undefined) throw new DomainError('invalid', 'Invalid image identifier or unable to access requested image.')
  return named[0]
}

/** Nova's image of a volume-backed server holds no bytes: its block devices name the snapshot of the root. */
function bootSnapshotOf(image: Image): string | undefined {
  const text = image.properties['block_device_mapping']
  if (text === undefined) return undefined
  let devices: unknown
  try {
    devices = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(devices)) return undefined
  const boot = (devices as Record<string, unknown>[]).find((d) => d?.['source_type'] === 'snapshot' && d['boot_index'] === 0)
  const id = boot?.['snapshot_id']
  return typeof id === 'string' ? id : undefined
}

/** What Cinder keeps of an image: its properties and the core facts, all as strings. */
export function imageMetadataOf(image: Image): Metadata {
  const core: Record<string, string | number | null> = {
    image_id: image.id,
    image_name: image.name,
    checksum: image.checksum,
    container_format: image.containerFormat,
    disk_format: image.diskFormat,
    min_disk: image.minDisk,
    min_ram: image.minRam,
    size: image.size,
  }
  const known = Object.entries(core).flatMap(([key, value]) => (value === null ? [] : [[key, String(value)] as const]))
  return { ...image.properties, ...Object.fromEntries(known) }
}
