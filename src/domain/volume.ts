/** What a tenant calls a disk. Status words are Cinder's. */
import type { Metadata } from './metadata.js'
import type { Micros } from './time.js'

export const VOLUME_STATUSES = [
  'creating',
  'available',
  'reserved',
  'attaching',
  'detaching',
  'in-use',
  'maintenance',
  'deleting',
  'awaiting-transfer',
  'error',
  'error_deleting',
  'backing-up',
  'restoring-backup',
  'error_backing-up',
  'error_restoring',
  'error_extending',
  'downloading',
  'uploading',
  'retyping',
  'extending',
  'reverting',
] as const
export type VolumeStatus = (typeof VOLUME_STATUSES)[number]

export interface Volume {
  id: string
  seq: number
  projectId: string
  userId: string
  diskId: string
  name: string | null
  description: string | null
  status: VolumeStatus
  /** What to return to after a passing state such as `uploading`. */
  previousStatus: VolumeStatus | null
  sizeGib: number
  bootable: boolean
  /** Null until somebody said so: Cinder shows the flag only then. */
  readonly: boolean | null
  metadata: Metadata
  /** `volume_image_metadata`: null when not made from an image. */
  imageMetadata: Metadata | null
  volumeTypeId: string
  availabilityZone: string
  snapshotId: string | null
  sourceVolumeId: string | null
  imageId: string | null
  createdAt: Micros
  updatedAt: Micros | null
}

export interface Attachment {
  id: string
  seq: number
  projectId: string
  volumeId: string
  diskId: string
  serverId: string
  device: string
  status: 'attaching' | 'attached' | 'detaching'
  bootIndex: number | null
  deleteOnTermination: boolean
  tag: string | null
  attachedAt: Micros | null
  createdAt: Micros
}

/** Which projects may use a private type. */
export interface VolumeTypeAccess {
  id: string
  seq: number
  volumeTypeId: string
  projectId: string
  createdAt: Micros
}

/** The type of a project's volumes that name none; the id is the project's. */
export interface DefaultVolumeType {
  id: string
  volumeTypeId: string
  createdAt: Micros
}

/** A volume offered to whoever knows the key; gone once it is accepted. */
export interface VolumeTransfer {
  id: string
  seq: number
  /** Who offers it. */
  projectId: string
  volumeId: string
  name: string | null
  salt: string
  keyHash: string
  /** Its snapshots stay behind. */
  noSnapshots: boolean
  createdAt: Micros
}

export interface VolumeType {
  id: string
  seq: number
  name: string
  description: string | null
  isPublic: boolean
  extraSpecs: Metadata
  createdAt: Micros
}
