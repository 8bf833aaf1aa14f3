/** Chains of bytes. A Disk is a chain with a top layer; a Layer knows its parent and nothing of volumes. */
import type { Micros } from './time.js'

/** A chain with a top layer: a server's root or a volume. */
export interface Disk {
  id: string
  hostId: string
  poolId: string
  projectId: string
  kind: 'root' | 'volume'
  /** The server this disk is plugged into (its root's owner, or the attachment's); null when detached. */
  serverId: string | null
  /** The layer the guest writes to. Null until the first layer exists. */
  topLayerId: string | null
  virtualSize: number
  createdAt: Micros
}

/**
 * planned: named, may not exist yet. top: writable leaf of a disk. sealed: immutable.
 * merging: content in flux, never again shown as anyone's snapshot. dropping: on its way out.
 */
export type LayerState = 'planned' | 'top' | 'sealed' | 'merging' | 'dropping'

export interface Layer {
  id: string
  seq: number
  poolId: string
  projectId: string
  parentId: string | null
  /** File name inside the pool (see names.ts). */
  fileName: string
  format: 'qcow2' | 'raw'
  virtualSize: number
  state: LayerState
  /** `image`: bytes of a Glance image; such a layer is shared as it is, never merged into. */
  origin: 'disk' | 'image'
  createdAt: Micros
}
