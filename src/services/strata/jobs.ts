/**
 * Jobs as their owner sees them: what runs, how far it is, what it waits for, what went wrong and what can be done.
 * Cancel and retry only leave a wish in the job's row; the worker that holds it decides when it is safe.
 */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Job, StepRow } from '../../domain/job.js'
import type { Lock } from '../../domain/operation.js'
import type { Doorbell } from '../../ports/doorbell.js'
import { ANY, type Database, type Query, type Scope } from '../../ports/stores.js'

export interface JobDetail {
  readonly job: Job
  /** How long the guest stood still for it, milliseconds; null: it did not, or nobody was left who knew since when. */
  readonly guestPausedMs: number | null
  readonly steps: readonly StepRow[]
}
export interface Waiting {
  readonly lock: Lock
  /** Named only to those who may see it. */
  readonly holder: Job | undefined
}
export interface Explanation extends JobDetail {
  /** Stable, for documentation and programs. */
  readonly code: 'waiting' | 'backing_off' | 'running' | 'undoing' | 'done' | 'rolled_back' | 'cancelled' | 'needs_attention'
  readonly sentence: string
  readonly waitsFor: readonly Waiting[]
  readonly undone: readonly string[]
  readonly youCan: readonly string[]
}

export interface JobFilter {
  readonly state?: Job['state'] | undefined
  readonly operation?: string | undefined
  readonly resourceType?: string | undefined
  readonly resourceId?: string | undefined
  readonly limit: number
  readonly marker?: string | undefined
  readonly allProjects: boolean
}

export interface JobService {
  listJobs(caller: Caller, filter: JobFilter): Promise<Job[]>
  showJob(caller: Caller, id: string): Promise<JobDetail>
  explainJob(caller: Caller, id: string): Promise<Explanation>
  cancelJob(caller: Caller, id: string): Promise<Job>
  retryJob(caller: Caller, id: string): Promise<Job>
  /** 0 = unlimited. */
  limitJob(caller: Caller, id: string, bytesPerSecond: number): Promise<Job>
}

export function createJobService({ db, doorbell }: { db: Database; doorbell: Doorbell }): JobService {
  async function must(scope: Scope, id: string): Promise<Job> {
    const job = await db.read.jobs.find(scope, id)
    if (!job) throw new DomainError('notFound', `Job ${id} could not be found.`)
    return job
  }

  return {
    async listJobs(caller, { limit, marker, allProjects, ...fields }) {
      const where = Object.fromEntries(
        Object.entries(fields).flatMap(([key, value]) => (value === undefined ? [] : [[key, { is: value }]])),
      )
      const query: Query<Job> = { where, limit, ...(marker === undefined ? {} : { after: marker }) }
      return db.read.jobs.list(caller.isAdmin && allProjects ? ANY : { projectId: caller.projectId }, query)
    },

    async showJob(caller, id) {
      const job = await must(scopeOf(caller), id)
      return detail(job, await db.read.jobs.steps(id))
    },

    async explainJob(caller, id) {
      const job = await must(scopeOf(caller), id)
      const steps = await db.read.jobs.steps(id)
      const waitsFor = job.state === 'queued' ? await waiting(caller, job) : []
      const undone = steps.filter((step) => step.state === 'undone').map((step) => step.name)
      return { ...detail(job, steps), waitsFor, undone, ...tell(job, waitsFor, undone) }
    },

    async cancelJob(caller, id) {
      const job = await must(scopeOf(caller), id)
      const accepted = await db.transaction((stores) => stores.jobs.requestCancel(scopeOf(caller), id))
      if (!accepted) throw new DomainError('invalidState', `Job ${id} is ${job.state}: there is nothing to cancel.`)
      doorbell.ring(job.hostId)
      return must(scopeOf(caller), id)
    },

    async limitJob(caller, id, bytesPerSecond) {
      const job = await must(scopeOf(caller), id)
      const accepted = await db.transaction((stores) => stores.jobs.limit(scopeOf(caller), id, bytesPerSecond))
      if (!accepted) throw new DomainError('invalidState', `Job ${id} (${job.operation}, ${job.state}) has no limit that could be changed.`)
      return must(scopeOf(caller), id)
    },

    async retryJob(caller, id) {
      const job = await must(scopeOf(caller), id)
      const accepted = await db.transaction((stores) => stores.jobs.retry(scopeOf(caller), id))
      if (!accepted)
        throw new DomainError(
          'invalidState',
          `Job ${id} is ${job.state}: only one that waits for its next attempt or needs attention can be retried.`,
        )
      doorbell.ring(job.hostId)
      return must(scopeOf(caller), id)
    },
  }

  async function waiting(caller: Caller, job: Job): Promise<Waiting[]> {
    const locks = await db.read.jobs.locks(job.id)
    const found = await Promise.all(locks.map(async (lock) => ({ lock, holder: await db.read.jobs.holder(lock) })))
    return found
      .filter(({ holder }) => holder !== undefined && holder.id !== job.id)
      .map(({ lock, holder }) => ({ lock, holder: caller.isAdmin || holder?.projectId === caller.projectId ? holder : undefined }))
  }
}

function detail(job: Job, steps: readonly StepRow[]): JobDetail {
  const pauses = steps.flatMap(({ facts }) => (typeof facts['guestPausedMs'] === 'number' ? [facts['guestPausedMs']] : []))
  return { job, steps, guestPausedMs: pauses.length === 0 ? null : pauses.reduce((sum, one) => sum + one, 0) }
}

const scopeOf = (caller: Caller): Scope => (caller.isAdmin ? ANY : { projectId: caller.projectId })

function tell(job: Job, waitsFor: readonly Waiting[], undone: readonly string[]): Pick<Explanation, 'code' | 'sentence' | 'youCan'> {
  const subject = `${job.resourceType} ${job.resourceId}`
  const why = job.error ? ` ${job.error.message}` : ''
  switch (job.state) {
    case 'queued':
      return waitsFor.length > 0
        ? {
            code: 'waiting',
            sentence: `The job waits until older work on the same disks is done.`,
            youCan: ['wait', 'cancel this job', 'cancel the job it waits for'],
          }
        : job.attempts > 0
          ? {
              code: 'backing_off',
              sentence: `An attempt ended early; the job will be tried again.${why}`,
              youCan: ['wait', 'retry now', 'cancel'],
            }
          : {
              code: 'waiting',
              sentence: `The job waits for a worker of host ${job.hostId}.`,
              youCan: ['wait', 'cancel', 'see whether the host is up'],
            }
    case 'running':
      return {
        code: 'running',
        sentence: `A worker is at it.${standstill(job)}`,
        youCan: job.cancelRequested
          ? ['wait: cancelling was asked for']
          : ['wait', 'cancel', ...(job.progress?.stalledSince === undefined ? [] : NOT_CONVERGING)],
      }
    case 'undoing':
      return { code: 'undoing', sentence: `What was begun is being taken back.${why}`, youCan: ['wait'] }
    case 'done':
      return { code: 'done', sentence: `The job did all it was asked to do.`, youCan: [] }
    case 'failed':
      return {
        code: 'rolled_back',
        sentence: `The job failed${undone.length > 0 ? ` and ${undone.length} steps were taken back` : ''}; ${subject} shows it in its status.${why}`,
        youCan: ['remove the cause and ask again', `delete ${subject} if it is in error`],
      }
    case 'cancelled':
      return { code: 'cancelled', sentence: `The job was cancelled before it took effect.`, youCan: ['ask again'] }
    case 'needs_attention':
      return {
        code: 'needs_attention',
        sentence: `The job stopped where going on is not safe. Nothing was deleted, and its disks stay locked.${why}`,
        youCan: [
          'tell the operator, with this job id',
          'as operator: look at the storage audit, mend the cause, retry',
          'as operator: cancel, and what was begun is taken back, if the job has not passed its point of no return',
        ],
      }
  }
}

const NOT_CONVERGING = ['raise its limit', 'have the guest write less, or pause it for a moment']

/** In which way it does not come to an end. */
function standstill({ progress }: Job): string {
  if (progress?.stalledSince === undefined) return ''
  const seconds = Math.round((progress.updatedAt - progress.stalledSince) / 1_000_000)
  const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(1)} MiB/s`
  return progress.dirtyRate === undefined
    ? ` For ${seconds} seconds it has not got closer to its end.`
    : ` It will not converge: for ${seconds} seconds the guest has written ${mib(progress.dirtyRate)} while ${mib(progress.rate)} were copied.`
}
