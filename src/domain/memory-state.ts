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
  /** Where each was on the bus: there it must be again. */
  readonly disks: readonly { readonly diskId: string; readonly virtualSize: number; readonly slot: number | null }[]
}

/** What is not as it was, for the end of a sentence; undefined: the state may be loaded. */
export function unlike(
  then: MemoryBinding,
  now: Omit<MemoryBinding, 'disks'> & { disks: readonly { diskId: string; virtualSize: number }[] },
): string | undefined {
  // Updates within a minor version keep the format of the stream and the machine it speaks of.
  const release = (version: string): string => version.split('.').slice(0, 2).join('.')
  if (release(then.qemuVersion) !== release(now.qemuVersion)) return `QEMU is ${now.qemuVersion} now and was ${then.qemuVersion}`
  for (const part of ['machine', 'accel', 'cpu', 'vcpus', 'ramMib'] as const)
    if (then[part] !== now[part]) return `${WORDS[part]} is ${now[part]} now and was ${then[part]}`
  if (then.disks.length !== now.disks.length) return `it has ${now.disks.length} disks now and had ${then.disks.length}`
  for (const disk of then.disks) {
    const one = now.disks.find(({ diskId }) => diskId === disk.diskId)
    if (one === undefined) return 'it has other disks now'
    if (one.virtualSize !== disk.virtualSize) return 'one of its disks has another size now'
  }
  return undefined
}

const WORDS = {
  machine: 'the machine type',
  accel: 'the acceleration',
  cpu: 'the processor',
  vcpus: 'the number of vCPUs',
  ramMib: 'the memory size in MiB',
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
