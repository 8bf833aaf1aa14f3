/** How long the chains of a project's or a server's disks may get. The server's own rule wins over its project's. */
import type { Micros } from './time.js'

export interface ChainLimits {
  /** Layers from which on a chain is shortened in the background. */
  softDepth: number
  /** Layers beyond which nothing that makes it longer is accepted. */
  hardDepth: number
  /** For what shortens it; 0 = unlimited. */
  bytesPerSecond: number
}

export interface ChainPolicy extends ChainLimits {
  /** The project's or the server's id. */
  id: string
  projectId: string
  createdAt: Micros
}

export type EffectivePolicy = ChainLimits & { readonly from: 'server' | 'project' | 'default' }

/** QEMU's monitoring slows down with the square of a chain's depth. */
const DEFAULT_CHAIN_POLICY: ChainLimits = { softDepth: 16, hardDepth: 32, bytesPerSecond: 64 * 1024 * 1024 }

/** Whose rules to look up for a disk. */
export const policyIds = (of: { serverId: string | null; projectId: string }): string[] =>
  of.serverId === null ? [of.projectId] : [of.serverId, of.projectId]

export function effectivePolicy(
  found: readonly ChainPolicy[],
  { serverId, projectId }: { serverId: string | null; projectId: string },
): EffectivePolicy {
  const own = found.find((policy) => policy.id === serverId)
  const policy = own ?? found.find((one) => one.id === projectId) ?? DEFAULT_CHAIN_POLICY
  const { softDepth, hardDepth, bytesPerSecond } = policy
  return { softDepth, hardDepth, bytesPerSecond, from: own ? 'server' : policy === DEFAULT_CHAIN_POLICY ? 'default' : 'project' }
}
