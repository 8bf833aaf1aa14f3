/** Whole rows for store tests: every field set to something telling, `patch` for what a test is about. */
import { randomUUID } from 'node:crypto'
import type { Layer } from '../../src/domain/disk.js'
import type { Image } from '../../src/domain/image.js'
import type { MemoryState } from '../../src/domain/memory-state.js'
import type { Descriptor, Lock } from '../../src/domain/operation.js'
import type { Server } from '../../src/domain/server.js'
import type { DiskSnapshot, ServerSnapshot } from '../../src/domain/server-snapshot.js'
import type { Snapshot } from '../../src/domain/snapshot.js'
import type { Volume } from '../../src/domain/volume.js'

type New<T> = Omit<T, 'seq'>
export const AT = 1_700_000_000_123_456

export const volumeRow = (patch: Partial<New<Volume>> = {}): New<Volume> => ({
  id: randomUUID(),
  projectId: 'p',
  userId: 'u',
  diskId: randomUUID(),
  name: 'a volume',
  description: null,
  status: 'available',
  previousStatus: null,
  sizeGib: 1,
  bootable: true,
  readonly: false,
  metadata: { k: 'v' },
  imageMetadata: null,
  volumeTypeId: 't',
  availabilityZone: 'nova',
  snapshotId: null,
  sourceVolumeId: null,
  imageId: null,
  createdAt: AT,
  updatedAt: null,
  ...patch,
})

export const snapshotRow = (patch: Partial<New<Snapshot>> = {}): New<Snapshot> => ({
  id: randomUUID(),
  projectId: 'p',
  userId: 'u',
  volumeId: 'v',
  diskId: 'd',
  serverId: null,
  layerId: null,
  serverSnapshotId: null,
  parentId: null,
  strategy: 'qemu-external',
  name: 'a snapshot',
  description: 'of a disk',
  status: 'creating',
  progress: '0%',
  sizeGib: 1,
  metadata: {},
  report: null,
  createdAt: AT,
  updatedAt: null,
  ...patch,
})

export const serverRow = (patch: Partial<New<Server>> = {}): New<Server> => ({
  id: randomUUID(),
  projectId: 'p',
  userId: 'u',
  hostId: 'h',
  name: 'a server',
  description: null,
  vmState: 'active',
  taskState: null,
  powerState: 1,
  flavor: {
    id: '42',
    name: 'm1.nano',
    vcpus: 1,
    ramMib: 128,
    diskGib: 1,
    ephemeralGib: 0,
    swapMib: 0,
    isPublic: true,
    description: null,
    extraSpecs: {},
  },
  imageId: 'i',
  kernelLayerId: null,
  ramdiskLayerId: null,
  imageProperties: { hw_disk_bus: 'virtio' },
  rootDeviceName: '/dev/vda',
  metadata: {},
  tags: ['one', 'two'],
  availabilityZone: 'nova',
  reservationId: 'r-1',
  launchIndex: 0,
  currentSnapshotId: null,
  autostart: true,
  accessIpV4: '',
  accessIpV6: '::1',
  userData: null,
  keyName: null,
  locked: false,
  fault: { code: 500, message: 'it broke', createdAt: AT },
  createdAt: AT,
  updatedAt: null,
  launchedAt: AT,
  terminatedAt: null,
  deletedAt: null,
  ...patch,
})

export const serverSnapshotRow = (patch: Partial<New<ServerSnapshot>> = {}): New<ServerSnapshot> => ({
  id: randomUUID(),
  projectId: 'p',
  userId: 'u',
  serverId: randomUUID(),
  name: 'a server snapshot',
  description: null,
  status: 'creating',
  kind: 'external',
  withMemory: false,
  parentId: null,
  powerState: 'running',
  metadata: {},
  report: null,
  protected: false,
  expiresAt: null,
  createdAt: AT,
  updatedAt: null,
  ...patch,
})

export const diskSnapshotRow = (patch: Partial<New<DiskSnapshot>> = {}): New<DiskSnapshot> => ({
  id: randomUUID(),
  projectId: 'p',
  serverSnapshotId: 'ss',
  diskId: 'd',
  volumeId: null,
  device: 'vda',
  layerId: null,
  tag: null,
  virtualSize: 2 ** 40,
  createdAt: AT,
  ...patch,
})

export const memoryStateRow = (patch: Partial<New<MemoryState>> = {}): New<MemoryState> => ({
  id: randomUUID(),
  projectId: 'p',
  hostId: 'h',
  serverId: 's',
  serverSnapshotId: null,
  format: 'stream',
  poolId: 'pool',
  fileName: 'm.mem',
  status: 'saved',
  size: null,
  mac: null,
  keyId: null,
  binding: {
    qemuVersion: '7.2.22',
    machine: 'pc-i440fx-7.2',
    accel: 'tcg',
    cpu: 'max',
    vcpus: 1,
    ramMib: 128,
    disks: [{ diskId: 'd', virtualSize: 2 ** 40, slot: 4 }],
  },
  resumeAtStart: false,
  wasRunning: true,
  createdAt: AT,
  ...patch,
})

export const layerRow = (patch: Partial<New<Layer>> = {}): New<Layer> => {
  const id = patch.id ?? randomUUID()
  return {
    id,
    poolId: 'pool',
    projectId: 'p',
    parentId: null,
    fileName: `${id}.qcow2`,
    format: 'qcow2',
    virtualSize: 2 ** 40,
    state: 'sealed',
    origin: 'disk',
    createdAt: AT,
    ...patch,
  }
}

export const imageRow = (patch: Partial<New<Image>> = {}): New<Image> => ({
  id: randomUUID(),
  projectId: 'p',
  name: 'an image',
  status: 'active',
  visibility: 'shared',
  protected: false,
  hidden: false,
  diskFormat: 'qcow2',
  containerFormat: 'bare',
  minDisk: 0,
  minRam: 0,
  size: 5,
  virtualSize: 10,
  checksum: null,
  hashAlgo: null,
  hashValue: null,
  properties: {},
  tags: [],
  layerId: null,
  sourceLayerId: null,
  createdAt: AT,
  updatedAt: AT,
  ...patch,
})

export interface LockedInput {
  locks: Lock[]
}
/** An operation that is nothing but the locks it wants. */
export const operation = (options: { preemptible?: boolean; resource?: string } = {}): Descriptor<LockedInput> => ({
  name: 'test-operation',
  version: 1,
  ...(options.preemptible ? { preemptible: true } : {}),
  subject: () => ({ type: 'volume', id: options.resource ?? 'v' }),
  locks: (input) => input.locks,
})
