/** A promise: "this disk as it was then". It pins a layer; deleting it unpins, and what becomes of the bytes is the layer's affair. */
import type { Metadata } from './metadata.js'
import type { Micros } from './time.js'

export type SnapshotStatus =
  | 'creating'
  | 'available'
  | 'deleting'
  | 'deleted'
  | 'error'
  | 'error_deleting'
  | 'updating'
  | 'unmanaging'
  | 'backing-up'
  | 'restoring'
export type Quiesce = 'required' | 'best_effort' | 'none'
export type Consistency = 'application' | 'filesystem' | 'crash_group' | 'crash' | 'offline' | 'memory'

/** What a snapshot really got (N-02). Durations in microseconds of a monotonic clock. */
export interface ConsistencyReport {
  requested: Quiesce
  reached: Consistency
  /** Why it is less than what was asked, null if it is not. */
  degradedReason: string | null
  frozenFilesystems: number | null
  thawedFilesystems: number | null
  /** How long the guest's file systems were frozen. */
  frozenFor: Micros | null
  /** Duration of the transaction that switched the disks: the upper bound of the guest's pause. */
  switchedIn: Micros | null
  /** How long the guest's processors were stopped; null where nothing stopped them. Of snapshots of servers. */
  pausedFor?: Micros | null
  /** Between the instants of the first and the last disk. Of snapshots of servers. */
  skew?: Micros | null
  live: boolean
  takenAt: Micros
}

export interface Snapshot {
  id: string
  seq: number
  projectId: string
  userId: string
  volumeId: string | null
  diskId: string
  serverId: string | null
  /** The layer whose view is this snapshot's content; null until taken. */
  layerId: string | null
  serverSnapshotId: string | null
  parentId: string | null
  strategy: string
  name: string | null
  description: string | null
  status: SnapshotStatus
  /** "0%" … "100%". */
  progress: string
  sizeGib: number
  metadata: Metadata
  report: ConsistencyReport | null
  createdAt: Micros
  updatedAt: Micros | null
}
