/**
 * What snapshots of servers can be, and what can be done here. The kinds are facts of the program; whether one is there
 * follows from the strategies' bids and from what the host's worker recorded of itself. What nobody recorded is not known,
 * and is said so.
 */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { HostCapabilities } from '../../domain/host.js'
import { type KindFacts, SNAPSHOT_KINDS } from '../../domain/snapshot-kinds.js'
import { ANY } from '../../ports/stores.js'
import { selectStrategy } from '../../strategies/select.js'
import type { ServiceDeps } from '../deps.js'

export interface KindHere extends KindFacts {
  /** Null: nobody knows. */
  readonly available: boolean | null
  /** Why it is not, or why that is not known. */
  readonly reason: string | null
}

export interface Capabilities {
  readonly kinds: readonly KindHere[]
  /** Of the host new servers are put on. */
  readonly host: HostCapabilities
}

export type CapabilityService = ReturnType<typeof createCapabilityService>

export const createCapabilityService = ({ db, settings }: Pick<ServiceDeps, 'db' | 'settings'>) => ({
  async show(_caller: Caller): Promise<Capabilities> {
    const recorded = (await db.read.hosts.find(ANY, settings.hostId))?.capabilities ?? {}
    return { kinds: SNAPSHOT_KINDS.map((kind) => ({ ...kind, ...standing(kind, recorded) })), host: recorded }
  },
})

function standing({ kind, memory }: KindFacts, host: HostCapabilities): Pick<KindHere, 'available' | 'reason'> {
  try {
    selectStrategy({ kind, withMemory: memory, formats: ['qcow2'], vmState: 'active', disks: 1 })
  } catch (error) {
    if (error instanceof DomainError) return { available: false, reason: error.message }
    throw error
  }
  if (host.qemuVersion === undefined) return { available: null, reason: 'No worker of the host has said yet what it can do.' }
  return { available: true, reason: null }
}
