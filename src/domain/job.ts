/** One run of an operation, with its journal. QEMU's own jobs are always called *block jobs*. */
import type { Micros } from './time.js'

/**
 * queued → running → done | failed | cancelled; running → undoing → failed | cancelled.
 * `queued` again after a yield or between retries. `needs_attention`: stopped safely, evidence and locks kept.
 */
export type JobState = 'queued' | 'running' | 'undoing' | 'done' | 'failed' | 'cancelled' | 'needs_attention'
export const FINISHED: readonly JobState[] = ['done', 'failed', 'cancelled']

export interface JobProgress {
  bytesDone: number
  bytesTotal: number
  /** Bytes a second, exponentially weighted. */
  rate: number
  /** Of a disk in use: by how many bytes a second its guest makes the work grow. */
  dirtyRate?: number
  /** Since when it has not got closer to its end; not said while it does. */
  stalledSince?: Micros
  updatedAt: Micros
}

export interface JobError {
  /** For the user. */
  message: string
  /** For the operator: cause chain, no secrets. */
  detail: string
  /** When the row of failures began that this is the last of, with no step done in between. */
  since?: Micros
}

export interface Job {
  id: string
  /** Order of acceptance; decides who waits for whom. */
  seq: number
  operation: string
  version: number
  /** What the descriptor says; plain JSON. */
  input: object
  hostId: string
  projectId: string
  userId: string
  requestId: string
  resourceType: string
  resourceId: string
  preemptible: boolean
  state: JobState
  leaseOwner: string | null
  /** Rises with every claim: the fencing token every journal write is checked against. */
  leaseToken: number
  leaseExpiresAt: Micros | null
  /** How often the job was claimed. */
  attempts: number
  notBefore: Micros
  cancelRequested: boolean
  yieldRequested: boolean
  progress: JobProgress | null
  error: JobError | null
  createdAt: Micros
  startedAt: Micros | null
  endedAt: Micros | null
}

export type StepState = 'started' | 'done' | 'undoing' | 'undone'

/** One line of a job's journal: a step, or a guard (entered = started, left = done). */
export interface StepRow {
  jobId: string
  name: string
  kind: 'step' | 'guard'
  ordinal: number
  state: StepState
  attempts: number
  /** What the step learnt (frozen file systems, bytes copied): written with its `done`. */
  facts: Readonly<Record<string, unknown>>
  /** Last failure, kept for `explain`. */
  error: string | null
  startedAt: Micros
  endedAt: Micros | null
}

/** Proof that this worker still owns the job: every journal write carries it. */
export interface Lease {
  jobId: string
  workerId: string
  token: number
}
