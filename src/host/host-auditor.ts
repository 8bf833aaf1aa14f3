/**
 * Storage audits for a process that serves the API. Only a host's worker may look at its disks and ask its guests; where
 * that worker runs in this process it is asked directly. Any other host is asked by a job, and what its journal says was
 * seen is the answer. Waited for shortly: a host whose worker is not there or has no hand free is `unavailable`.
 */
import { unavailable } from '../domain/errors.js'
import { FINISHED, type Job } from '../domain/job.js'
import { OBSERVE_STORAGE, type ObserveStorageInput, observeStorage } from '../domain/operations.js'
import type { HostAuditor, Measured, SeenStorage, StorageAuditor } from '../ports/auditor.js'
import type { Clock } from '../ports/clock.js'
import type { Doorbell } from '../ports/doorbell.js'
import { ANY, type Database, type Origin, type Stores } from '../ports/stores.js'

const PATIENCE_MS = 10_000

export interface HostAuditorOptions {
  readonly db: Database
  readonly doorbell: Doorbell
  readonly clock: Clock
  /** The host whose worker runs in this process. */
  readonly own?: { readonly hostId: string; readonly auditor: StorageAuditor } | undefined
  readonly patienceMs?: number
}

export function createHostAuditor({ db, doorbell, clock, own, patienceMs = PATIENCE_MS }: HostAuditorOptions): HostAuditor {
  return {
    observe: async (hostId, request, origin) =>
      hostId === own?.hostId ? await own.auditor.observe(request) : ((await ask(hostId, request, origin, 'seen')) as SeenStorage),
    measure: async (hostId, request, origin) =>
      hostId === own?.hostId ? await own.auditor.measure(request) : ((await ask(hostId, request, origin, 'measured')) as Measured),
  }

  async function ask(hostId: string, request: ObserveStorageInput, origin: Origin, fact: 'seen' | 'measured'): Promise<unknown> {
    const { jobId, joined } = await db.transaction(async (stores) => {
      const asked = await underway(stores, hostId, request, origin)
      if (asked !== undefined) return { jobId: asked.id, joined: true }
      return { jobId: await stores.jobs.enqueue(observeStorage, request, { hostId, origin }), joined: false }
    })
    doorbell.ring(hostId)
    const began = clock.monotonic()
    for (let pause = 10; ; pause = Math.min(pause * 1.5, 250)) {
      const job = await db.read.jobs.find(ANY, jobId)
      if (job !== undefined && FINISHED.includes(job.state)) return await answer(jobId, fact)
      if (clock.monotonic() - began > patienceMs * 1000) break
      await clock.sleep(pause)
    }
    // Whoever joined leaves this to the one who asked first.
    if (!joined) await db.transaction((stores) => stores.jobs.requestCancel(ANY, jobId))
    throw unavailable(`the worker of host ${hostId} did not answer in time`)
  }

  /** However often a project asks about the same disks, one job looks. */
  async function underway(stores: Stores, hostId: string, request: ObserveStorageInput, { projectId }: Origin): Promise<Job | undefined> {
    const wanted = JSON.stringify(request)
    return (await stores.jobs.unfinished('server', request.serverId)).find(
      (job) =>
        job.operation === OBSERVE_STORAGE &&
        job.hostId === hostId &&
        job.projectId === projectId &&
        !job.cancelRequested &&
        (job.state === 'queued' || job.state === 'running') &&
        JSON.stringify(job.input) === wanted,
    )
  }

  async function answer(jobId: string, fact: string): Promise<unknown> {
    const step = (await db.read.jobs.steps(jobId)).find((one) => one.name === OBSERVE_STORAGE)
    if (step?.state !== 'done' || step.facts[fact] === undefined)
      throw unavailable(`the worker could not look: ${step?.error ?? 'its job was cancelled'}`)
    return step.facts[fact]
  }
}
