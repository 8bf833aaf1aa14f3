/**
 * Ends a QEMU that gives no answer, for somebody who wants its power gone. Jobs that need its answer hold their locks and
 * wait; an operation that ends the guest by force (a stop whose grace is spent, a hard reboot, a delete) would wait behind
 * them for just what they wait for. Killing the process needs no lock: every job stands its QEMU's death at any moment, and
 * with nobody left to ask, the files and the tables say how far it came. Then the locks are handed on as ever.
 */
import type { Job } from '../domain/job.js'
import { millisToMicros } from '../domain/time.js'
import { operationKey, type Registry } from '../operations/registry.js'
import { ANY } from '../ports/stores.js'
import type { WorkerPorts } from '../steps/tools.js'

export interface PowerCutOptions {
  readonly ports: WorkerPorts
  readonly registry: Registry
  readonly log: { warn(fields: object, message: string): void }
  /** For so long, at every look, it gave no answer. */
  readonly silentMs?: number
  /** How long one look waits for an answer. */
  readonly answerMs?: number
}

export interface PowerCut {
  /** Asked for every few seconds; returns the servers whose QEMU it ended. */
  look(): Promise<string[]>
}

export function createPowerCut({ ports, registry, log, silentMs = 30_000, answerMs = 5_000 }: PowerCutOptions): PowerCut {
  const { db, hypervisor, clock, settings } = ports
  const silentSince = new Map<string, number>()
  const forced = [...registry.values()].filter(({ descriptor }) => descriptor.endsGuest !== undefined)
  const operations = forced.map(({ descriptor }) => descriptor.name)

  return {
    async look() {
      const where = { hostId: { is: settings.hostId }, state: { is: 'queued' }, operation: { in: operations } }
      const wanted = new Map<string, Job>()
      for (const job of await db.read.jobs.list(ANY, { where, limit: 1000 })) {
        const end = registry.get(operationKey(job.operation, job.version))?.descriptor.endsGuest?.(job.input)
        if (end !== undefined && clock.now() >= job.createdAt + millisToMicros(end.afterMs)) wanted.set(end.serverId, job)
      }
      for (const serverId of silentSince.keys()) if (!wanted.has(serverId)) silentSince.delete(serverId)
      const ended = await Promise.all([...wanted].map(async ([serverId, job]) => ((await cut(serverId, job)) ? [serverId] : [])))
      return ended.flat()
    },
  }

  async function cut(serverId: string, job: Job): Promise<boolean> {
    const holders = await holdersOf(job)
    // One that waits for a person keeps its locks whatever becomes of QEMU, and QEMU is part of what that person looks at.
    const isFutile = holders.length === 0 || holders.some((one) => one.state === 'needs_attention')
    if (isFutile || (await answers(serverId))) {
      silentSince.delete(serverId)
      return false
    }
    const now = clock.monotonic()
    const since = silentSince.get(serverId) ?? now
    silentSince.set(serverId, since)
    if (now - since < millisToMicros(silentMs)) return false
    // Much may have passed in a look: a job that ran or was cancelled meanwhile wants nothing ended any more.
    const still = await db.read.jobs.find(ANY, job.id)
    if (still?.state !== 'queued' || still.cancelRequested) return false
    log.warn({ serverId, jobId: job.id, holders: holders.map((one) => one.id) }, 'QEMU gives no answer and is ended for the job that waits')
    await hypervisor.kill(serverId)
    silentSince.delete(serverId)
    // Those that wait for its answer need not wait any more.
    for (const { id, state } of holders)
      if (state === 'queued' || state === 'undoing') await db.transaction((stores) => stores.jobs.retry(ANY, id))
    return true
  }

  /** Whom it waits for. One that nobody stands before is about to run, and asks QEMU itself. */
  async function holdersOf(job: Job): Promise<Job[]> {
    const found = new Map<string, Job>()
    for (const lock of await db.read.jobs.locks(job.id)) {
      const holder = await db.read.jobs.holder(lock)
      if (holder !== undefined && holder.id !== job.id) found.set(holder.id, holder)
    }
    return [...found.values()]
  }

  /** One that is gone has answered, too. */
  async function answers(serverId: string): Promise<boolean> {
    const asked = hypervisor.find(serverId).then(async (guest) => await guest?.runState())
    const answered = asked.then(
      () => true,
      () => false,
    )
    return await Promise.race([answered, clock.sleep(answerMs).then(() => false)])
  }
}
