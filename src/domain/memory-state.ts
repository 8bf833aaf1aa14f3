/**
 * A guest's memory and devices, kept outside the database: of a managed save (no snapshot named), or of a server
 * snapshot. It carries nothing that is executed: the command line of a restore comes from the tables. The file is
 * refused if its MAC is not what was recorded (SEC-11), the guest if what it was bound to has changed.
 */
import type { Micros } from './time.js'

/** What must be the same again for the state to be loaded. */
export interface MemoryBinding {
  readonly qemuVersion: string
  readonly machine: string
  readonly accel: string
  readonly cpu: string
  readonly vcpus: number
  readonly ramMib: number
  /** In the order they were plugged in. */
  readonly disks: readonly { readonly diskId: string; readonly virtualSize: number }[]
}

export interface MemoryState {
  id: string
  seq: number
  projectId: string
  hostId: string
  serverId: string
  /** Null: a managed save, of which a server has at most one. */
  serverSnapshotId: string | null
  /**
   * stream: QEMU's migration stream, compressed. vmstate: a qcow2 that holds nothing but QEMU's machine state.
   * tag: inside the layer of the server's first disk, with an internal snapshot; there is no file and no MAC.
   */
  format: 'stream' | 'vmstate' | 'tag'
  poolId: string
  fileName: string
  status: 'planned' | 'saved'
  /** Bytes of the file. */
  size: number | null
  /** HMAC-SHA-256 over the state's id, what it is bound to and the file, hex, and the key it was made with. */
  mac: string | null
  keyId: string | null
  binding: MemoryBinding | null
  /** Of a managed save: resumed when the host's service starts again. */
  resumeAtStart: boolean
  /** What the server was doing: it goes on with that. */
  wasRunning: boolean
  createdAt: Micros
}
