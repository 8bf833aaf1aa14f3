/**
 * A strategy is a way to take snapshots. It bids from recorded facts only, so the API may ask it, and it composes steps
 * into plans instead of acting: crash-safety is inherited from the runner. Callers ask its traits, never its name.
 */
import type { Switch } from '../domain/operations.js'
import type { Server } from '../domain/server.js'
import type { SnapshotKind } from '../domain/server-snapshot.js'
import type { Quiesce } from '../domain/snapshot.js'
import type { Tagging } from '../steps/tags.js'
import type { WorkPlan } from '../steps/tools.js'

export type StrategyName = 'qemu-external' | 'qemu-internal'

export interface Traits {
  readonly live: boolean
  readonly memory: boolean
  readonly branches: boolean
  readonly deletesInPlace: boolean
  readonly needsPausedGuest: boolean
  readonly spansDisksAtomically: boolean
}

/** What is wanted, and what is recorded of the disks to be captured. */
export interface Target {
  readonly kind: SnapshotKind
  /** Format of each disk's top layer. */
  readonly formats: readonly ('qcow2' | 'raw')[]
  readonly vmState: Server['vmState'] | null
  readonly disks: number
  readonly withMemory: boolean
}

/** A server in one of these has memory. */
export const RUNS: readonly Server['vmState'][] = ['active', 'paused']

export interface Capture {
  readonly serverId: string | null
  /** Disks that get an overlay, each with its own; their tops are sealed. */
  readonly switches: readonly Switch[]
  /** Disks that are captured inside their tops instead. */
  readonly tagged?: Tagging
  /** The row the guest's memory is written down in; without it memory is not kept. */
  readonly memoryStateId?: string
  readonly quiesce: Quiesce
}

export interface Strategy {
  readonly name: StrategyName
  readonly traits: Traits
  bid(target: Target): { readonly rank: number } | { readonly refuses: string }
  /** The steps that capture disks; final statuses are the operation's. */
  create(capture: Capture): Pick<WorkPlan, 'prepare' | 'guard' | 'pivot' | 'finish'>
}
