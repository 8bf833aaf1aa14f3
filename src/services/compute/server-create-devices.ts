/**
 * Block device mappings: from what a caller wrote to which disks a new server gets. Pure planning: it reads rows and
 * refuses in Nova's words; nothing is written here.
 */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Image } from '../../domain/image.js'
import type { Metadata } from '../../domain/metadata.js'
import type { Volume } from '../../domain/volume.js'
import type { Stores } from '../../ports/stores.js'
import { GIB } from '../volume/access.js'
import { resolveSource, type VolumeSource } from '../volume/volume-source.js'
import { scopeOf } from './servers-common.js'

export interface BlockDevice {
  readonly sourceType: 'image' | 'snapshot' | 'volume' | 'blank'
  readonly destinationType: 'local' | 'volume'
  readonly uuid: string | null
  /** null and negative: not a boot device. */
  readonly bootIndex: number | null
  readonly sizeGib: number | null
  readonly deleteOnTermination: boolean
  readonly tag: string | null
}

/** A volume to be made with the server. */
export interface NewVolume {
  readonly sizeGib: number
  readonly source: Exclude<VolumeSource, { kind: 'volume' }>
  readonly imageMetadata: Metadata | null
}

interface PlannedVolume {
  readonly use: Volume | NewVolume
  readonly bootIndex: number | null
  readonly deleteOnTermination: boolean
  readonly tag: string | null
}

/** Either a root disk of the server's own on the image, or the volume with boot index 0, first of `volumes`. */
export interface DevicePlan {
  readonly localRoot: boolean
  readonly volumes: readonly PlannedVolume[]
}

const invalid = (sentence: string) => new DomainError('invalid', sentence)
const bootSequence = () =>
  invalid('Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.')

export const isExisting = (use: Volume | NewVolume): use is Volume => 'diskId' in use

export async function planDevices(
  stores: Stores,
  caller: Caller,
  wanted: { image: Image | undefined; devices: readonly BlockDevice[]; count: number },
): Promise<DevicePlan> {
  const devices = effective(wanted.image, wanted.devices)
  const order = devices.flatMap((device) => (device.bootIndex === null || device.bootIndex < 0 ? [] : [device.bootIndex]))
  order.sort((a, b) => a - b)
  if (order.length === 0 || order.some((index, at) => index !== at)) throw bootSequence()
  if (wanted.count > 1 && devices.some((device) => device.sourceType === 'volume'))
    throw invalid('Cannot attach one or more volumes to multiple instances')
  const volumes: PlannedVolume[] = []
  let localRoot = false
  for (const device of devices) {
    if (device.destinationType === 'local') {
      requireLocalRoot(device, wanted.image)
      if (localRoot) throw bootSequence()
      localRoot = true
    } else {
      volumes.push(await planVolume(stores, caller, device))
    }
  }
  const taken = new Set<string>()
  for (const { use } of volumes) {
    if (!isExisting(use)) continue
    if (taken.has(use.id)) throw invalid('Block Device Mapping is Invalid.')
    taken.add(use.id)
  }
  // The root first, the others in the order they were given: so devices are named.
  volumes.sort((a, b) => Number(b.bootIndex === 0) - Number(a.bootIndex === 0))
  return { localRoot, volumes }
}

/** An image may bring devices of its own (it is one of a volume-backed server); its root then replaces the caller's image root. */
function effective(image: Image | undefined, devices: readonly BlockDevice[]): BlockDevice[] {
  const ofImage = image === undefined ? [] : imageDevices(image)
  const imageHasRoot = ofImage.some((device) => device.bootIndex === 0)
  if (devices.length === 0 && !imageHasRoot) return image === undefined ? [] : [localRootOf(image), ...ofImage]
  if (!imageHasRoot) return [...devices, ...ofImage]
  return [...devices.filter((device) => device.sourceType !== 'image' || device.bootIndex !== 0), ...ofImage]
}

export const localRootOf = (image: { id: string }): BlockDevice => ({
  sourceType: 'image',
  destinationType: 'local',
  uuid: image.id,
  bootIndex: 0,
  sizeGib: null,
  deleteOnTermination: true,
  tag: null,
})

/** The `block_device_mapping` property: a JSON list, as createImage of a volume-backed server writes it. */
function imageDevices(image: Image): BlockDevice[] {
  const text = image.properties['block_device_mapping']
  if (text === undefined) return []
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch (cause) {
    throw new DomainError('invalid', 'Block Device Mapping is Invalid.', { cause })
  }
  if (!Array.isArray(list)) throw invalid('Block Device Mapping is Invalid.')
  return list.filter((entry) => typeof entry === 'object' && entry !== null && entry.no_device !== true).map(imageDevice)
}

function imageDevice(entry: Record<string, unknown>): BlockDevice {
  const sourceType = entry['source_type']
  if (sourceType !== 'image' && sourceType !== 'snapshot' && sourceType !== 'volume' && sourceType !== 'blank')
    throw invalid('Block Device Mapping is Invalid: Invalid source_type field.')
  const id = entry[`${sourceType}_id`]
  const bootIndex = entry['boot_index']
  const size = entry['volume_size']
  return {
    sourceType,
    destinationType: entry['destination_type'] === 'local' ? 'local' : 'volume',
    uuid: typeof id === 'string' ? id : null,
    bootIndex: wholeNumber(bootIndex, 'boot_index'),
    sizeGib: wholeNumber(size, 'volume_size'),
    deleteOnTermination: entry['delete_on_termination'] === true,
    tag: typeof entry['tag'] === 'string' ? entry['tag'] : null,
  }
}

/** A tenant writes this property by hand if they like: what is no size must not become one. */
function wholeNumber(value: unknown, field: string): number | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) <= 2_147_483_647) return value
  throw invalid(`Block Device Mapping is Invalid: Invalid ${field} field.`)
}

function requireLocalRoot(device: BlockDevice, image: Image | undefined): void {
  if (device.sourceType === 'blank')
    throw invalid(
      'Ephemeral disks requested are larger than the instance type allows. If no size is given in one block device mapping, flavor ephemeral size will be used.',
    )
  if (device.sourceType !== 'image') throw invalid('Block Device Mapping is Invalid.')
  if (device.bootIndex !== 0 || image === undefined || device.uuid !== image.id)
    throw invalid('Block Device Mapping is Invalid: Mapping image to local is not supported.')
}

async function planVolume(stores: Stores, caller: Caller, device: BlockDevice): Promise<PlannedVolume> {
  if (device.sourceType !== 'blank' && device.uuid === null) throw invalid('Block Device Mapping is Invalid: Missing device UUID.')
  const id = device.uuid ?? ''
  const rest = { bootIndex: device.bootIndex, deleteOnTermination: device.deleteOnTermination, tag: device.tag }
  switch (device.sourceType) {
    case 'volume':
      return { use: await existingVolume(stores, caller, id, device), ...rest }
    case 'image':
      return { use: await volumeFromImage(stores, caller, id, device), ...rest }
    case 'snapshot':
      return { use: await volumeFromSnapshot(stores, caller, id, device), ...rest }
    case 'blank':
      return { use: await blankVolume(stores, caller, device), ...rest }
  }
}

async function existingVolume(stores: Stores, caller: Caller, id: string, device: BlockDevice): Promise<Volume> {
  const volume = await stores.volumes.find(scopeOf(caller), id)
  if (volume === undefined) throw invalid(`Block Device Mapping is Invalid: failed to get volume ${id}.`)
  requireAvailable(volume)
  if (device.bootIndex === 0 && !volume.bootable) throw invalid(`Block Device ${id} is not bootable.`)
  return volume
}

export function requireAvailable(volume: Volume): void {
  if (volume.status === 'available') return
  throw invalid(
    `Invalid input received: Invalid volume: Volume ${volume.id} status must be available or downloading to reserve, but the current status is ${volume.status}.`,
  )
}

async function volumeFromImage(stores: Stores, caller: Caller, id: string, device: BlockDevice): Promise<NewVolume> {
  const image = await stores.images.findVisible(caller.projectId, id)
  if (image === undefined) throw invalid(`Block Device Mapping is Invalid: failed to get image ${id}.`)
  if (image.status !== 'active' || image.layerId === null) throw invalid(`Image ${id} is not active.`)
  if (device.sizeGib === null || device.sizeGib <= 0)
    throw invalid("Images with destination_type 'volume' need to have a non-zero size specified")
  const least = Math.max(image.minDisk * GIB, image.virtualSize ?? image.size ?? 0)
  if (device.sizeGib * GIB < least)
    throw invalid(
      `Volume is smaller than the minimum size specified in image metadata. Volume size is ${device.sizeGib * GIB} bytes, minimum size is ${least} bytes.`,
    )
  return newVolume(stores, caller, device, { imageRef: id })
}

async function volumeFromSnapshot(stores: Stores, caller: Caller, id: string, device: BlockDevice): Promise<NewVolume> {
  const snapshot = await stores.snapshots.find(scopeOf(caller), id)
  if (snapshot === undefined) throw invalid(`Block Device Mapping is Invalid: failed to get snapshot ${id}.`)
  return newVolume(stores, caller, device, { snapshotId: id })
}

async function blankVolume(stores: Stores, caller: Caller, device: BlockDevice): Promise<NewVolume> {
  if (device.sizeGib === null || device.sizeGib <= 0)
    throw invalid("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size")
  if (device.bootIndex === 0) throw bootSequence()
  return newVolume(stores, caller, device, {})
}

/** Cinder's own checks of a source, and its row held until the commit. */
async function newVolume(
  stores: Stores,
  caller: Caller,
  device: BlockDevice,
  from: { imageRef?: string; snapshotId?: string },
): Promise<NewVolume> {
  const source = await resolveSource(stores, caller, { ...NO_SOURCE, sizeGib: device.sizeGib, ...from })
  const sizeGib = device.sizeGib ?? source.defaultSizeGib
  if (source.kind === 'volume' || sizeGib === null) throw invalid('Block Device Mapping is Invalid.')
  source.checkSize(sizeGib)
  return { sizeGib, source, imageMetadata: source.imageMetadata }
}

const NO_SOURCE = {
  name: '',
  description: '',
  metadata: {},
  volumeType: null,
  availabilityZone: null,
  imageRef: null,
  snapshotId: null,
  sourceVolumeId: null,
  followsImageSnapshots: false,
  unsupported: null,
}
