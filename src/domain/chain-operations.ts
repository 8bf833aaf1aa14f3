/** Operations that move a chain's data, and their inputs (see operations.ts). */
import { chain, type Descriptor, layer } from './operation.js'

/** What of a job's input may be changed while it runs. */
export interface Limited {
  /** 0 = unlimited. */
  readonly bytesPerSecond: number
}

/** Data of the layers between the disk's top and the base goes up into the top. What is below stays for whoever needs it. */
export interface PullChainInput extends Limited {
  diskId: string
  /** What the top stands on then; null: on nothing. */
  baseLayerId: string | null
}
export const pullChain: Descriptor<PullChainInput> = {
  name: 'pull-chain',
  version: 1,
  preemptible: true,
  subject: (i) => ({ type: 'disk', id: i.diskId }),
  locks: (i) => [chain(i.diskId)],
}

/** Data of `topLayerId` and all between goes down into the base, which nobody else may read. */
export interface CommitChainInput extends Limited {
  diskId: string
  topLayerId: string
  baseLayerId: string
  /** Every layer above the base and every disk on one, as of now: the locks follow from them. */
  layerIds: string[]
  diskIds: string[]
}
export const commitChain: Descriptor<CommitChainInput> = {
  name: 'commit-chain',
  version: 1,
  preemptible: true,
  subject: (i) => ({ type: 'disk', id: i.diskId }),
  locks: (i) => [...i.diskIds.map(chain), layer(i.baseLayerId), ...i.layerIds.map(layer)],
}

/** The disk's whole view is copied into one new file, in another pool or format; the disk moves there, or the copy becomes a volume. */
export interface CopyDiskInput extends Limited {
  diskId: string
  /** Row `planned`, in its pool and format. */
  layerId: string
  /** pivot: the disk's new top. keep: the only layer of `copyDiskId`, as the disk was when the copy ended. */
  end: 'pivot' | 'keep'
  copyDiskId: string | null
  copyVolumeId: string | null
}
export const copyDisk: Descriptor<CopyDiskInput> = {
  name: 'copy-disk',
  version: 1,
  // Stopping a server must not wait for the end of a copy; that begins anew then.
  preemptible: true,
  subject: (i) => ({ type: 'disk', id: i.diskId }),
  locks: (i) => [chain(i.diskId), ...(i.copyDiskId === null ? [] : [chain(i.copyDiskId)])],
}
