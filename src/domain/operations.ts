/**
 * The operations and their inputs. Everything a step needs later is named here or found in the tables
 * (laws 1 and 2): ids are chosen by the accepting service, names follow from ids.
 */
import type { ExportFormat } from './image.js'
import { chain, type Descriptor, type Lock, layer, power } from './operation.js'
import type { Quiesce } from './snapshot.js'

const image = (imageId: string): Lock => `image:${imageId}`
const powerOf = (serverId: string | null): Lock[] => (serverId === null ? [] : [power(serverId)])

/** A layer to be written: an empty overlay on `parentLayerId`, or a blank disk where that is null. */
export interface NewLayer {
  diskId: string
  layerId: string
  parentLayerId: string | null
  /** Bytes. */
  virtualSize: number
}

/** One disk whose top layer is sealed and replaced by the overlay `layerId` (row already `planned`). */
export interface Switch {
  diskId: string
  layerId: string
}

export interface CreateServerInput {
  serverId: string
  /** Root and volumes made with the server. */
  layers: NewLayer[]
  /** Every disk that is plugged in at boot, root first. */
  diskIds: string[]
}
export const createServer: Descriptor<CreateServerInput> = {
  name: 'create-server',
  version: 1,
  subject: (i) => ({ type: 'server', id: i.serverId }),
  locks: (i) => [
    power(i.serverId),
    ...i.diskIds.map(chain),
    ...i.layers.flatMap((l) => (l.parentLayerId === null ? [] : [layer(l.parentLayerId)])),
  ],
}

export interface ServerInput {
  serverId: string
  /** The server's disks at acceptance, for the chain locks. */
  diskIds: string[]
}
const onServer = <I extends ServerInput>(name: string): Descriptor<I> => ({
  name,
  version: 1,
  subject: (i) => ({ type: 'server', id: i.serverId }),
  locks: (i) => [power(i.serverId), ...i.diskIds.map(chain)],
})
export const startServer = onServer<ServerInput>('start-server')
export interface StopServerInput extends ServerInput {
  /** How long the guest may take to shut down by itself, milliseconds; 0 ends it at once. */
  graceMs: number
}
export const stopServer: Descriptor<StopServerInput> = {
  ...onServer<StopServerInput>('stop-server'),
  endsGuest: ({ serverId, graceMs }) => ({ serverId, afterMs: graceMs }),
}
export interface RebootServerInput extends ServerInput {
  type: 'SOFT' | 'HARD'
}
export const rebootServer: Descriptor<RebootServerInput> = {
  ...onServer<RebootServerInput>('reboot-server'),
  endsGuest: ({ serverId, type }) => (type === 'HARD' ? { serverId, afterMs: 0 } : undefined),
}
export const pauseServer = onServer<ServerInput>('pause-server')
export const unpauseServer = onServer<ServerInput>('unpause-server')
export const deleteServer: Descriptor<ServerInput> = {
  ...onServer<ServerInput>('delete-server'),
  endsGuest: ({ serverId }) => ({ serverId, afterMs: 0 }),
}
/** The guest shut itself down: its QEMU waits in run state `shutdown`. Enqueued by the reconciler. */
export const recordGuestOff = onServer<ServerInput>('record-guest-off')
/** QEMU is gone although nobody stopped it: SHUTOFF with a fault. Enqueued by the reconciler. */
export interface RecordQemuLostInput extends ServerInput {
  reason: string
}
export const recordQemuLost = onServer<RecordQemuLostInput>('record-qemu-lost')

export interface AttachVolumeInput {
  attachmentId: string
  volumeId: string
  diskId: string
  serverId: string
}
const onAttachment = (name: string): Descriptor<AttachVolumeInput> => ({
  name,
  version: 1,
  subject: (i) => ({ type: 'volume', id: i.volumeId }),
  locks: (i) => [power(i.serverId), chain(i.diskId)],
})
export const attachVolume = onAttachment('attach-volume')
export const detachVolume = onAttachment('detach-volume')

export interface CreateVolumeInput {
  volumeId: string
  layer: NewLayer
}
export const createVolume: Descriptor<CreateVolumeInput> = {
  name: 'create-volume',
  version: 1,
  subject: (i) => ({ type: 'volume', id: i.volumeId }),
  locks: (i) => [chain(i.layer.diskId), ...(i.layer.parentLayerId === null ? [] : [layer(i.layer.parentLayerId)])],
}

/** A volume from a volume: the source's top is sealed under a new overlay, the clone is a second one. */
export interface CloneVolumeInput {
  volumeId: string
  diskId: string
  layerId: string
  /** Bytes of the clone. */
  virtualSize: number
  source: Switch
  sourceServerId: string | null
}
export const cloneVolume: Descriptor<CloneVolumeInput> = {
  name: 'clone-volume',
  version: 1,
  subject: (i) => ({ type: 'volume', id: i.volumeId }),
  locks: (i) => [chain(i.diskId), chain(i.source.diskId), ...powerOf(i.sourceServerId)],
}

export interface ExtendVolumeInput {
  volumeId: string
  diskId: string
  serverId: string | null
  /** Bytes; never smaller than now. */
  virtualSize: number
  sizeGib: number
}
export const extendVolume: Descriptor<ExtendVolumeInput> = {
  name: 'extend-volume',
  version: 1,
  subject: (i) => ({ type: 'volume', id: i.volumeId }),
  locks: (i) => [chain(i.diskId), ...powerOf(i.serverId)],
}

export interface DeleteVolumeInput {
  volumeId: string
  diskId: string
}
export const deleteVolume: Descriptor<DeleteVolumeInput> = {
  name: 'delete-volume',
  version: 1,
  subject: (i) => ({ type: 'volume', id: i.volumeId }),
  locks: (i) => [chain(i.diskId)],
}

export interface CreateSnapshotInput {
  /** The server whose disks these are, if they are attached: one transaction over all of them. */
  serverId: string | null
  switches: Switch[]
  snapshots: { snapshotId: string; diskId: string }[]
  quiesce: Quiesce
  /** Who takes it, as chosen when it was accepted; sealed layers where that is not said. */
  strategy?: string
  /** A volume-backed image that becomes active with the snapshots. */
  imageId: string | null
}
export const createSnapshot: Descriptor<CreateSnapshotInput> = {
  name: 'create-snapshot',
  version: 1,
  subject: (i) => ({ type: 'snapshot', id: i.snapshots[0]?.snapshotId ?? '' }),
  locks: (i) => [...i.switches.map((s) => chain(s.diskId)), ...powerOf(i.serverId)],
}

export interface DeleteSnapshotInput {
  snapshotId: string
  /** What becomes of a layer with several children: stays shared, or is merged into each. */
  children: 'share' | 'each'
}
export const deleteSnapshot: Descriptor<DeleteSnapshotInput> = {
  name: 'delete-snapshot',
  version: 1,
  subject: (i) => ({ type: 'snapshot', id: i.snapshotId }),
  locks: () => [],
}

/**
 * Removes one unpinned layer by moving data up into its children or its only child down into it.
 * Locks: that layer, every layer above it, and the chain of every disk whose top is above it; they are
 * read from the tables when the job is enqueued and again when it yields (`diskIds`, `layerIds`).
 */
export interface MergeLayerInput {
  layerId: string
  layerIds: string[]
  diskIds: string[]
  children: 'share' | 'each'
}
export const mergeLayer: Descriptor<MergeLayerInput> = {
  name: 'merge-layer',
  version: 1,
  preemptible: true,
  subject: (i) => ({ type: 'layer', id: i.layerId }),
  locks: (i) => [layer(i.layerId), ...i.layerIds.map(layer), ...i.diskIds.map(chain)],
}

/** Removes a layer nobody needs: unlink, then forget. */
export interface DropLayerInput {
  layerId: string
}
export const dropLayer: Descriptor<DropLayerInput> = {
  name: 'drop-layer',
  version: 1,
  subject: (i) => ({ type: 'layer', id: i.layerId }),
  locks: (i) => [layer(i.layerId)],
}

/**
 * Image of a disk, first half: the disk's top is sealed under a new overlay (as a snapshot nobody sees) and
 * pinned by the image; settling enqueues `export-image`.
 */
export interface CaptureImageInput {
  imageId: string
  /** Layer that will hold the image's bytes. */
  imageLayerId: string
  serverId: string | null
  volumeId: string | null
  source: Switch
  quiesce: Quiesce
  /** What the image becomes; qcow2 where that is not said. */
  format?: ExportFormat
}
export const captureImage: Descriptor<CaptureImageInput> = {
  name: 'capture-image',
  version: 1,
  subject: (i) => ({ type: 'image', id: i.imageId }),
  locks: (i) => [chain(i.source.diskId), image(i.imageId), ...powerOf(i.serverId)],
}

/** Image of a disk, second half: the sealed chain is copied flat into one file, hashed, published. Holds no chain. */
export interface ExportImageInput {
  imageId: string
  imageLayerId: string
  sourceLayerId: string
  serverId: string | null
  volumeId: string | null
  /** The image stays `saving` at least until then. */
  notActiveBefore: number
  format?: ExportFormat
}
export const exportImage: Descriptor<ExportImageInput> = {
  name: 'export-image',
  version: 1,
  subject: (i) => ({ type: 'image', id: i.imageId }),
  locks: (i) => [image(i.imageId), layer(i.sourceLayerId)],
}

/** An upload's staging file becomes the image's layer, if inspection finds it harmless. */
export interface ImportImageInput {
  imageId: string
  imageLayerId: string
  /** Absolute path of the staging file, fsynced, written by the API of the same host. */
  stagingPath: string
  format: 'qcow2' | 'raw'
  size: number
  checksum: string
  hashValue: string
}
export const importImage: Descriptor<ImportImageInput> = {
  name: 'import-image',
  version: 1,
  subject: (i) => ({ type: 'image', id: i.imageId }),
  locks: (i) => [image(i.imageId)],
}

/**
 * A look at a server's storage by the worker of its host: files, headers and the guest's block graph, or what layers
 * hold. Holds nothing and waits for nobody; what is seen is in the journal, under the step's name.
 */
export type ObserveStorageInput = LookAtStorage | MeasureStorage
interface LookAtStorage {
  serverId: string
  /** As the tables say, from top to base. */
  disks: readonly { readonly diskId: string; readonly chain: readonly NamedLayer[] }[]
  /** Pool directories in which to look for files nobody knows. */
  directories: readonly string[]
}
interface MeasureStorage {
  serverId: string
  /** Layers whose data may be moved into each other. */
  trees: readonly (readonly NamedLayer[])[]
  /** Pool directories whose free room is wanted. */
  pools: readonly string[]
}
interface NamedLayer {
  readonly layerId: string
  readonly path: string
  readonly format: 'qcow2' | 'raw'
  readonly virtualSize: number
}
export const OBSERVE_STORAGE = 'observe-storage'
export const observeStorage: Descriptor<ObserveStorageInput> = {
  name: OBSERVE_STORAGE,
  version: 1,
  subject: (i) => ({ type: 'server', id: i.serverId }),
  locks: () => [],
}
