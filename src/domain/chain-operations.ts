/** Operations that move a chain's data, and their inputs (see operations.ts). */
import type { Descriptor, Lock } from './operation.js'

const chain = (diskId: string): Lock => `chain:${diskId}`
const power = (serverId: string | null): Lock[] => (serverId === null ? [] : [`power:${serverId}`])

/** Data of the layers between the disk's top and the base goes up into the top. What is below stays for whoever needs it. */
export interface PullChainInput {
  diskId: string
  serverId: string | null
  /** What the top stands on then; null: on nothing. */
  baseLayerId: string | null
  /** 0 = unlimited. */
  bytesPerSecond: number
}
export const pullChain: Descriptor<PullChainInput> = {
  name: 'pull-chain',
  version: 1,
  preemptible: true,
  subject: (i) => ({ type: 'disk', id: i.diskId }),
  locks: (i) => [chain(i.diskId)],
}

/** Data of `topLayerId` and all between goes down into the base, which nobody else may read. */
export interface CommitChainInput {
  diskId: string
  serverId: string | null
  topLayerId: string
  baseLayerId: string
  bytesPerSecond: number
}
export const commitChain: Descriptor<CommitChainInput> = {
  name: 'commit-chain',
  version: 1,
  preemptible: true,
  subject: (i) => ({ type: 'disk', id: i.diskId }),
  locks: (i) => [chain(i.diskId), `layer:${i.topLayerId}`, `layer:${i.baseLayerId}`],
}

/** The disk's whole view is copied into one new file, in another pool or format; the disk moves there, or the copy becomes a volume. */
export interface CopyDiskInput {
  diskId: string
  serverId: string | null
  /** Row `planned`, in its pool and format. */
  layerId: string
  /** pivot: the disk's new top. keep: the only layer of `copyDiskId`, as the disk was when the copy ended. */
  end: 'pivot' | 'keep'
  copyDiskId: string | null
  copyVolumeId: string | null
  bytesPerSecond: number
}
export const copyDisk: Descriptor<CopyDiskInput> = {
  name: 'copy-disk',
  version: 1,
  subject: (i) => ({ type: 'disk', id: i.diskId }),
  locks: (i) => [chain(i.diskId), ...power(i.serverId), ...(i.copyDiskId === null ? [] : [chain(i.copyDiskId)])],
}
