/** A VM: identity, status and the sockets we reach it by. Status words are Nova's. */
import type { Metadata } from './metadata.js'
import type { Micros } from './time.js'

export interface Flavor {
  id: string
  name: string
  vcpus: number
  ramMib: number
  diskGib: number
  ephemeralGib: number
  swapMib: number
  isPublic: boolean
  description: string | null
  extraSpecs: Metadata
  seq: number
}

/** Belongs to a user, not to a project. The private half is told once and never kept. */
export interface Keypair {
  id: string
  seq: number
  userId: string
  name: string
  type: 'ssh' | 'x509'
  publicKey: string
  fingerprint: string
  createdAt: Micros
}

export type VmState = 'building' | 'active' | 'paused' | 'suspended' | 'stopped' | 'error' | 'deleted'
export type ServerTask =
  | 'scheduling'
  | 'spawning'
  | 'powering-off'
  | 'powering-on'
  | 'rebooting'
  | 'rebooting_hard'
  | 'pausing'
  | 'unpausing'
  | 'deleting'
  | 'image_snapshot_pending'
  | 'image_snapshot'
  | 'image_pending_upload'
  | 'image_uploading'
  | 'suspending'
  | 'resuming'
  | 'rebuilding'
/** Nova's power states: 0 NOSTATE, 1 RUNNING, 3 PAUSED, 4 SHUTDOWN, 6 CRASHED, 7 SUSPENDED. */
export type PowerState = 0 | 1 | 3 | 4 | 6 | 7

export interface Fault {
  code: number
  message: string
  details?: string
  createdAt: Micros
}

export interface Server {
  id: string
  seq: number
  projectId: string
  userId: string
  hostId: string
  name: string
  description: string | null
  vmState: VmState
  taskState: ServerTask | null
  powerState: PowerState
  /** The flavor as it was at creation. */
  flavor: Omit<Flavor, 'seq'>
  imageId: string | null
  /** Layers of the kernel and ramdisk images for direct boot, null for firmware boot. */
  kernelLayerId: string | null
  ramdiskLayerId: string | null
  /** Properties inherited from the image (hw_*, os_*, …): what createImage hands on. */
  imageProperties: Metadata
  rootDeviceName: string
  metadata: Metadata
  tags: readonly string[]
  availabilityZone: string
  reservationId: string
  /** Which one it is of those made by one request, from 0. */
  launchIndex: number
  /** The server snapshot its present grew from; null before the first. */
  currentSnapshotId: string | null
  /** Saved when the host goes down, it comes back when the service starts again. */
  autostart: boolean
  accessIpV4: string
  accessIpV6: string
  userData: string | null
  keyName: string | null
  locked: boolean
  fault: Fault | null
  createdAt: Micros
  updatedAt: Micros | null
  launchedAt: Micros | null
  terminatedAt: Micros | null
  deletedAt: Micros | null
}
