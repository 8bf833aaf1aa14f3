/** Looks at a server's storage as it is: what is on disk, what the running guest has open, what layers hold. Judges nothing. */

import type { Holdings } from '../domain/holdings.js'
import type { BlockNode, Chain, LayerFile } from './block.js'
import type { Origin } from './stores.js'

export interface AuditRequest {
  readonly serverId: string
  /** As the tables say, from top to base. */
  readonly disks: readonly { readonly diskId: string; readonly chain: Chain }[]
  /** Pool directories in which to look for layer files nobody knows. */
  readonly directories: readonly string[]
}

export interface SeenFile {
  readonly layerId: string
  readonly exists: boolean
  /** Bytes on the host, null when missing. */
  readonly allocated: number | null
}

export interface SeenDisk {
  readonly diskId: string
  readonly files: readonly SeenFile[]
  /** What the headers of the chain say against the tables; null: they agree (or a file is missing). */
  readonly headerProblem: string | null
  /** Format node the guest's device is on; null: no such device, or no guest. */
  readonly topNode: string | null
}

export interface SeenStorage {
  /** Is there a guest process that answered? */
  readonly live: boolean
  readonly disks: readonly SeenDisk[]
  readonly nodes: readonly BlockNode[]
  /** Paths of files in the directories that no table and no ledger knows. */
  readonly files: readonly string[]
}

export interface MeasureRequest {
  readonly serverId: string
  /** Layers whose data may be moved into each other, in any order. Those of different trees have nothing to do with each other. */
  readonly trees: readonly (readonly LayerFile[])[]
  /** Directories whose file systems' free room is wanted. */
  readonly pools: readonly string[]
}

export interface MeasuredTree {
  /** Bytes on the host, null when missing. */
  readonly allocated: Readonly<Record<string, number | null>>
  readonly held: Holdings
  /** False: of a very scattered disk the smallest parts were left out. */
  readonly exact: boolean
}

export interface Measured {
  /** As asked, one for each. */
  readonly trees: readonly MeasuredTree[]
  /** Bytes, by directory. */
  readonly free: Readonly<Record<string, number>>
}

export interface StorageAuditor {
  observe(request: AuditRequest): Promise<SeenStorage>
  /** What layers hold, by their maps. Of one that is written just now: as it was when its guest flushed last. */
  measure(request: MeasureRequest): Promise<Measured>
}

/** The same of any host, whether its worker is in this process or has to be asked. A host out of reach is Unavailable. */
export interface HostAuditor {
  observe(hostId: string, request: AuditRequest, origin: Origin): Promise<SeenStorage>
  measure(hostId: string, request: MeasureRequest, origin: Origin): Promise<Measured>
}
