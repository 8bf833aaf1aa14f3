/**
 * Storage audits for a process that serves the API. Only a host's worker may look at its disks and ask its guests; where
 * that worker runs in this process it is asked directly. Any other host is asked by a job, and what its journal says was
 * seen is the answer. Waited for shortly: a host whose worker is not there or has no hand free is `unavailable`.
 */
import { unavailable } from '../domain/errors.js'
import { FINISHED } from '../domain/job.js'
import { OBSERVE_STORAGE, observeStorage } from '../domain/operations.js'
import type { AuditRequest, HostAuditor, SeenStorage, StorageAuditor } from '../ports/auditor.js'
import type { Clock } from '../ports/clock.js'
import type { Doorbell } from '../ports/doorbell.js'
import { ANY, type Database, type Origin } from '../ports/stores.js'

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
      hostId === own?.hostId ? await own.auditor.observe(request) : await ask(hostId, request, origin),
  }

  async function ask(hostId: string, request: AuditRequest, origin: Origin): Promise<SeenStorage> {
    const jobId = await db.transaction((stores) => stores.jobs.enqueue(observeStorage, request, { hostId, origin }))
    doorbell.ring(hostId)
    const began = clock.monotonic()
    for (let pause = 10; ; pause = Math.min(pause * 1.5, 250)) {
      const job = await db.read.jobs.find(ANY, jobId)
      if (job !== undefined && FINISHED.includes(job.state)) return await answer(jobId)
      if (clock.monotonic() - began > patienceMs * 1000) break
      await clock.sleep(pause)
    }
    // Nobody will read what it sees any more.
    await db.transaction((stores) => stores.jobs.requestCancel(ANY, jobId))
    throw unavailable(`the worker of host ${hostId} did not answer in time`)
  }

  async function answer(jobId: string): Promise<SeenStorage> {
    const step = (await db.read.jobs.steps(jobId)).find((one) => one.name === OBSERVE_STORAGE)
    if (step?.state !== 'done') throw unavailable(`the worker could not look: ${step?.error ?? 'its job was cancelled'}`)
    return step.facts['seen'] as SeenStorage
  }
}
