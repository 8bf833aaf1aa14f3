/**
 * A server snapshot: disks of one server at one instant, with or without its memory. What one goes back to. Server
 * snapshots of a server form a tree; `Server.currentSnapshotId` is the one its present grew from. The present itself is
 * no snapshot: it is what the disks' tops hold beyond it.
 */
import type { Metadata } from './metadata.js'
import type { ConsistencyReport } from './snapshot.js'
import type { Micros } from './time.js'

/** external: sealed layers, and memory in a file of its own. internal: a tag inside the disk's qcow2, memory with it. */
export type SnapshotKind = 'external' | 'internal'

export type ServerSnapshotStatus = 'creating' | 'available' | 'reverting' | 'deleting' | 'error' | 'error_deleting'

/** What the server was doing when it was taken, and is to do when its memory comes back. */
export type CapturedPower = 'running' | 'paused' | 'stopped'

export interface ServerSnapshot {
  id: string
  seq: number
  projectId: string
  userId: string
  serverId: string
  /** Unique among the server's. */
  name: string
  description: string | null
  status: ServerSnapshotStatus
  kind: SnapshotKind
  withMemory: boolean
  parentId: string | null
  /** Null until taken. */
  powerState: CapturedPower | null
  metadata: Metadata
  report: ConsistencyReport | null
  /** Deleting it is refused until this is taken back. */
  protected: boolean
  /** From then on it may be deleted by the service itself; null: never. */
  expiresAt: Micros | null
  createdAt: Micros
  updatedAt: Micros | null
}

/** One disk's part of a server snapshot: it pins a layer, and names the tag inside it where the kind is internal. */
export interface DiskSnapshot {
  id: string
  seq: number
  projectId: string
  serverSnapshotId: string
  diskId: string
  volumeId: string | null
  /** As the guest's owner names it: vda. */
  device: string
  /** Null until taken. */
  layerId: string | null
  tag: string | null
  /** Bytes, at that moment. */
  virtualSize: number
  createdAt: Micros
}
