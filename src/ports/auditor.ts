/** Looks at a server's storage as it is: what is on disk and what the running guest has open. Judges nothing. */

import type { BlockNode, Chain } from './block.js'
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

export interface StorageAuditor {
  observe(request: AuditRequest): Promise<SeenStorage>
}

/** The same of any host, whether its worker is in this process or has to be asked. A host out of reach is Unavailable. */
export interface HostAuditor {
  observe(hostId: string, request: AuditRequest, origin: Origin): Promise<SeenStorage>
}
