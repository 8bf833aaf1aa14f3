/** How long the chains of a project's or a server's disks may get. The server's own rule wins over its project's. */
import type { Micros } from './time.js'

export interface ChainPolicy {
  /** The project's or the server's id. */
  id: string
  projectId: string
  /** Layers from which on a chain is shortened in the background. */
  softDepth: number
  /** Layers beyond which nothing that makes it longer is accepted. */
  hardDepth: number
  /** For what shortens it; 0 = unlimited. */
  bytesPerSecond: number
  createdAt: Micros
}

/** QEMU's monitoring slows down with the square of a chain's depth. */
export const DEFAULT_CHAIN_POLICY = { softDepth: 16, hardDepth: 32, bytesPerSecond: 64 * 1024 * 1024 } as const
