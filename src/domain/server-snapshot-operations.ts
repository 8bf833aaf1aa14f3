/** Operations on server snapshots and their inputs (see operations.ts). */
import { chain, type Descriptor, layer, power } from './operation.js'
import type { CapturedPower, SnapshotKind } from './server-snapshot.js'
import type { Quiesce } from './snapshot.js'

/** One disk that is captured. Its row in disk_snapshots exists already. */
export interface CapturedDisk {
  diskSnapshotId: string
  diskId: string
  /** external: the overlay that becomes its top (row `planned`). internal: null, the tag goes into its top. */
  layerId: string | null
}

export interface CreateServerSnapshotInput {
  serverSnapshotId: string
  serverId: string
  kind: SnapshotKind
  quiesce: Quiesce
  disks: CapturedDisk[]
  /** Of its memory (row `planned`); null: disks only. */
  memoryStateId: string | null
}
export const createServerSnapshot: Descriptor<CreateServerSnapshotInput> = {
  name: 'create-server-snapshot',
  version: 1,
  subject: (i) => ({ type: 'server_snapshot', id: i.serverSnapshotId }),
  locks: (i) => [power(i.serverId), ...i.disks.map((disk) => chain(disk.diskId))],
}

/** Of one server, all of them `deleting` already. Rows go at once; tags inside layers and memory files follow in the same job. */
export interface DeleteServerSnapshotsInput {
  serverId: string
  serverSnapshotIds: string[]
  /** What becomes of a layer with several children: stays shared, or is merged into each. */
  children: 'share' | 'each'
  /** The disks that hold internal parts: only those wait for their chains. */
  diskIds: string[]
}
export const deleteServerSnapshots: Descriptor<DeleteServerSnapshotsInput> = {
  name: 'delete-server-snapshots',
  version: 1,
  subject: (i) => ({ type: 'server', id: i.serverId }),
  locks: (i) => [...(i.diskIds.length === 0 ? [] : [power(i.serverId)]), ...i.diskIds.map(chain)],
}

export interface RevertedDisk {
  diskSnapshotId: string
  diskId: string
  layerId: string
}

export interface RevertServerInput {
  serverId: string
  serverSnapshotId: string
  /** Every disk of the server, for the chain locks. */
  diskIds: string[]
  /**
   * The snapshot's disks, each with the layer that becomes its top (row `planned`): an overlay, or the copy of a tag whose
   * layer was sealed since. One whose tag is still in the disk's top has it in vain, and it is forgotten.
   */
  disks: RevertedDisk[]
  /** Layers of the snapshot: nobody merges beneath a new overlay while it is made. */
  layerIds: string[]
  /** What the server does afterwards. */
  powerState: CapturedPower
  /** Goes on where it was; else it starts anew, or stays off. */
  withMemory: boolean
  /** A server snapshot of the present that was asked for first: without it nothing is touched. */
  keptIn: string | null
}
export const revertServer: Descriptor<RevertServerInput> = {
  name: 'revert-server',
  version: 1,
  subject: (i) => ({ type: 'server', id: i.serverId }),
  locks: (i) => [power(i.serverId), ...i.diskIds.map(chain), ...i.layerIds.map(layer)],
}

/** Cinder's revert: a detached volume becomes what its latest snapshot holds. */
export interface RevertVolumeInput {
  volumeId: string
  diskId: string
  snapshotId: string
  /** What the snapshot pins. */
  snapshotLayerId: string
  /** The overlay that becomes the disk's top (row `planned`). */
  layerId: string
}
export const revertVolume: Descriptor<RevertVolumeInput> = {
  name: 'revert-volume',
  version: 1,
  subject: (i) => ({ type: 'volume', id: i.volumeId }),
  locks: (i) => [chain(i.diskId), layer(i.snapshotLayerId)],
}
