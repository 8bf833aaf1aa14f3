/** What steps work with: ports, and the job's own signals. */

import type { JobProgress } from '../domain/job.js'
import type { GuestAgent } from '../ports/agent.js'
import type { StorageAuditor } from '../ports/auditor.js'
import type { OfflineHosts } from '../ports/block.js'
import type { Clock } from '../ports/clock.js'
import type { ImageInspector, LayerFiles } from '../ports/files.js'
import type { Hypervisor } from '../ports/hypervisor.js'
import type { MemoryFiles } from '../ports/memory.js'
import type { Database } from '../ports/stores.js'
import type { Forward, Guard, Pivot, Plan, Undoable } from './step.js'

export interface WorkerPorts {
  readonly db: Database
  readonly hypervisor: Hypervisor
  readonly offlineHosts: OfflineHosts
  readonly agent: GuestAgent
  readonly files: LayerFiles
  readonly inspector: ImageInspector
  readonly memory: MemoryFiles
  readonly auditor: StorageAuditor
  readonly clock: Clock
  readonly settings: WorkerSettings
}

export interface WorkerSettings {
  readonly hostId: string
  readonly freezeBudgetMs: number
  readonly maxVirtualSize: number
  /** How long a guest may take to give up a device. */
  readonly unplugTimeoutMs: number
}

export interface JobSignals {
  /** Aborted when the job must stop at once: the lease is lost or the worker ends. */
  readonly stop: AbortSignal
  /** Aborted when someone asked to cancel (before the pivot). */
  readonly cancel: AbortSignal
  /** Aborted when a preemptible job is to make way. */
  readonly makeWay: AbortSignal
  report(progress: Pick<JobProgress, 'bytesDone' | 'bytesTotal'>): void
}

export interface Tools extends WorkerPorts, JobSignals {
  readonly jobId: string
  /** Facts for the journal row of the running step. */
  learn(facts: Readonly<Record<string, unknown>>): void
}

/** Bricks are closed over what they work on; the input parameter of the protocol stays unused. */
export type UndoableBrick = Undoable<object, Tools>
export type PivotBrick = Pivot<object, Tools>
export type ForwardBrick = Forward<object, Tools>
export type GuardBrick = Guard<object, Tools>
export type WorkPlan = Plan<object, Tools>
