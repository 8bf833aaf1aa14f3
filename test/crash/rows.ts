/** Rows as a service would have written them, with what no scenario cares about filled in. */
import type { Image } from '../../src/domain/image.js'
import type { Server } from '../../src/domain/server.js'
import type { Snapshot } from '../../src/domain/snapshot.js'
import type { Volume } from '../../src/domain/volume.js'

type Row<T> = Omit<T, 'seq'>
type Given<T, K extends keyof T> = Pick<T, K>

export const GIB_SIZE = 1
const POWER: Partial<Record<Server['vmState'], Server['powerState']>> = { active: 1, paused: 3, stopped: 4 }

export const volumeRow = (
  given: Given<Volume, 'id' | 'projectId' | 'userId' | 'diskId' | 'volumeTypeId' | 'createdAt'>,
  isWritten: boolean,
  patch: Partial<Volume>,
): Row<Volume> => ({
  ...given,
  name: null,
  description: null,
  status: isWritten ? 'available' : 'creating',
  previousStatus: null,
  sizeGib: GIB_SIZE,
  bootable: false,
  readonly: false,
  metadata: {},
  imageMetadata: null,
  availabilityZone: 'nova',
  snapshotId: null,
  sourceVolumeId: null,
  imageId: null,
  updatedAt: null,
  ...patch,
})

export const serverRow = (
  given: Given<Server, 'id' | 'projectId' | 'userId' | 'hostId' | 'createdAt' | 'vmState' | 'taskState'>,
  patch: Partial<Server>,
): Row<Server> => ({
  ...given,
  name: 'victim',
  description: null,
  powerState: POWER[given.vmState] ?? 0,
  flavor: {
    id: '1',
    name: 'tiny',
    vcpus: 1,
    ramMib: 32,
    diskGib: 1,
    ephemeralGib: 0,
    swapMib: 0,
    isPublic: true,
    description: null,
    extraSpecs: {},
  },
  imageId: null,
  kernelLayerId: null,
  ramdiskLayerId: null,
  imageProperties: {},
  rootDeviceName: '/dev/vda',
  metadata: {},
  tags: [],
  availabilityZone: 'nova',
  reservationId: 'r-1',
  launchIndex: 0,
  accessIpV4: '',
  accessIpV6: '',
  userData: null,
  keyName: null,
  locked: false,
  fault: null,
  updatedAt: null,
  launchedAt: null,
  terminatedAt: null,
  deletedAt: null,
  ...patch,
})

export const snapshotRow = (
  given: Given<Snapshot, 'id' | 'projectId' | 'userId' | 'volumeId' | 'diskId' | 'serverId' | 'layerId' | 'status' | 'createdAt'>,
): Row<Snapshot> => ({
  ...given,
  serverSnapshotId: null,
  parentId: null,
  strategy: 'qemu-external',
  name: null,
  description: null,
  progress: '0%',
  sizeGib: GIB_SIZE,
  metadata: {},
  report: null,
  updatedAt: null,
})

export const imageRow = (
  given: Given<Image, 'id' | 'projectId' | 'status' | 'createdAt' | 'updatedAt'>,
  patch: Partial<Image>,
): Row<Image> => ({
  ...given,
  name: null,
  visibility: 'private',
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
  properties: {},
  tags: [],
  layerId: null,
  sourceLayerId: null,
  ...patch,
})
