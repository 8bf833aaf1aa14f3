/** Arguments and results of QEMU's block commands, as far as we use them. */

type Discard = { discard?: 'unmap' | 'ignore'; 'read-only'?: boolean; 'auto-read-only'?: boolean }

export type FileNode = Discard & { driver: 'file'; 'node-name': string; filename: string }
/** `backing` is said for qcow2 always, and does not exist for raw. */
export type FormatNode =
  | (Discard & { driver: 'qcow2'; 'node-name': string; file: string; backing: string | null })
  | (Discard & { driver: 'raw'; 'node-name': string; file: string })
export type AddNode = FileNode | FormatNode
/** A reopen repeats every option: what is left out goes back to its default. */
export type ReopenNode = FormatNode

export type TransactionAction =
  | { type: 'blockdev-snapshot'; data: { node: string; overlay: string } }
  | { type: 'blockdev-snapshot-internal-sync'; data: { device: string; name: string } }

export type JobOptions = {
  'job-id': string
  device: string
  speed?: number
  'auto-finalize': boolean
  'auto-dismiss': boolean
}

export interface CheckpointOptions {
  'job-id': string
  tag: string
  devices: readonly string[]
}

export interface JobInfo {
  id: string
  type: string
  status: string
  'current-progress': number
  'total-progress': number
  error?: string
}

export interface BlockJobInfo {
  device: string
  type: string
  status: string
  offset: number
  len: number
  speed: number
}

export interface NamedNode {
  'node-name'?: string
  drv: string
  ro: boolean
  /** A plain path for protocol nodes; may be a `json:` description above them. */
  file: string
  image: { 'virtual-size': number; 'actual-size'?: number; snapshots?: readonly { name: string; 'vm-state-size': number }[] }
}

export interface BlockDevice {
  device: string
  qdev?: string
  inserted?: { 'node-name'?: string }
}

export interface BlockGraph {
  nodes: readonly { id: number; type: 'block-backend' | 'block-job' | 'block-driver'; name: string }[]
  edges: readonly { parent: number; child: number; name: string }[]
}

export interface ExportInfo {
  id: string
  type: string
  'node-name': string
  'shutting-down': boolean
}
