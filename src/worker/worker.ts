/**
 * The worker: claims jobs of its host when the doorbell rings or a poll finds them, runs several at once, and keeps their
 * leases. It issues nothing more once two thirds of a lease passed without renewal, and whoever takes a lease over ends
 * this process first. What a job does is the runner's and the operations' affair.
 */
import { NeedsAttention } from '../domain/errors.js'
import type { Job } from '../domain/job.js'
import { millisToMicros } from '../domain/time.js'
import type { Registry } from '../operations/registry.js'
import { operationKey } from '../operations/registry.js'
import { ANY } from '../ports/stores.js'
import type { WorkerPorts } from '../steps/tools.js'
import { endIfStepless, operationOf, type Taken, takeJob } from './begin.js'
import type { LocalDoorbell } from './doorbell.js'
import type { RunResult } from './endings.js'
import { endProcess, startTimeOf } from './processes.js'
import { createProgress } from './progress.js'
import { type Gap, runJob } from './runner.js'
import { createSuccession } from './succession.js'

export interface WorkerLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface WorkerOptions {
  readonly ports: WorkerPorts
  readonly registry: Registry
  /** Unique to this start of this process. */
  readonly workerId: string
  readonly doorbell: LocalDoorbell
  readonly log: WorkerLog
  readonly concurrency?: number
  readonly leaseMs?: number
  readonly pollMs?: number
  /** Ends the process a lease is taken from; resolves when it is gone. */
  readonly endPredecessor?: (worker: { pid: number; startTime: number }) => Promise<void>
  readonly gap?: (job: Job, point: string) => Promise<void>
  readonly onEnd?: (job: Job, result: RunResult) => void
}

export interface WorkerProcess {
  start(): Promise<void>
  /** No new jobs; resolves when those that run have ended or `withinMs` passed, then stops. */
  drain(withinMs: number): Promise<void>
  /** Stops issuing at once; what runs is found and gone on with by the next worker. */
  stop(): Promise<void>
  running(): string[]
}

interface Run {
  readonly job: Job
  readonly stop: AbortController
  readonly cancel: AbortController
  readonly makeWay: AbortController
  ended: Promise<void>
}

export function createWorker(options: WorkerOptions): WorkerProcess {
  const {
    ports,
    registry,
    workerId,
    doorbell,
    log,
    concurrency = 4,
    leaseMs = 15_000,
    pollMs = 1000,
    endPredecessor = endProcess,
  } = options
  const { db, clock, settings } = ports
  const hostId = settings.hostId
  const succession = createSuccession({ ports, workerId, leaseMs, pollMs, log, endPredecessor })
  const runs = new Map<string, Run>()
  const timers: NodeJS.Timeout[] = []
  let accepting = false
  let claiming: Promise<void> | undefined
  let again = false
  let renewedAt = clock.monotonic()
  let stopRinging = (): void => {}

  return {
    async start() {
      const startTime = await startTimeOf(process.pid)
      if (startTime === undefined) throw new Error('cannot read when this process started')
      const now = clock.now()
      await db.transaction((s) => s.workers.insert({ id: workerId, hostId, pid: process.pid, startTime, heartbeatAt: now, createdAt: now }))
      await succession.inheritFromTheDead()
      accepting = true
      stopRinging = doorbell.onRing(hostId, wake)
      every(pollMs, async () => wake())
      every(leaseMs / 3, renew)
      every(FLAGS_MS, readFlags)
      wake()
    },
    async drain(withinMs) {
      accepting = false
      await claiming
      const all = Promise.all([...runs.values()].map((run) => run.ended))
      await Promise.race([all, clock.sleep(withinMs)])
      await this.stop()
    },
    async stop() {
      accepting = false
      stopRinging()
      for (const timer of timers.splice(0)) clearInterval(timer)
      for (const run of runs.values()) run.stop.abort()
      await claiming
      await Promise.all([...runs.values()].map((run) => run.ended))
      await succession.signOff(workerId).catch((error: unknown) => log.warn({ error }, 'could not sign off'))
    },
    running: () => [...runs.keys()],
  }

  function every(millis: number, work: () => Promise<void>): void {
    let busy = false
    timers.push(
      setInterval(() => {
        if (busy) return
        busy = true
        void work()
          .catch((error: unknown) => log.warn({ error }, 'will be tried again'))
          .finally(() => {
            busy = false
          })
      }, millis),
    )
  }

  function wake(): void {
    if (!accepting) return
    again = true
    claiming ??= claimAll().finally(() => {
      claiming = undefined
    })
  }

  async function claimAll(): Promise<void> {
    while (again && accepting) {
      again = false
      try {
        while (accepting && runs.size < concurrency && (await claimOne()));
      } catch (error) {
        log.warn({ error }, 'cannot claim jobs now')
      }
    }
    await readFlags().catch(() => {})
  }

  async function claimOne(): Promise<boolean> {
    const began = clock.monotonic()
    const wanted = { hostId, workerId, now: clock.now(), leaseFor: millisToMicros(leaseMs), except: [...runs.keys()] }
    const found = await take(wanted)
    if (found === undefined) return false
    const { claim } = found
    if (found.ended !== undefined) {
      ended(claim.job, found.ended)
      return true
    }
    // Stopped in the middle of it: its lease began with it, and may be over. Whoever claims it next looks what is there.
    if ((clock.monotonic() - began) / 1000 > leaseMs * (2 / 3)) return true
    const run: Run = {
      job: claim.job,
      stop: new AbortController(),
      cancel: new AbortController(),
      makeWay: new AbortController(),
      ended: Promise.resolve(),
    }
    if (claim.job.cancelRequested) run.cancel.abort()
    runs.set(claim.job.id, run)
    run.ended = perform(claim, run).finally(() => {
      runs.delete(claim.job.id)
      wake()
    })
    return true
  }

  async function take(wanted: Parameters<typeof takeJob>[1]): Promise<{ claim: Taken; ended?: RunResult | undefined } | undefined> {
    try {
      return await db.transaction(async (stores) => {
        const claim = await takeJob(stores, wanted, registry)
        await succession.oweTheEndOf(stores, claim?.expiredOwner)
        return claim && { claim, ended: await endIfStepless(stores, claim, registry, ports) }
      })
    } catch (error) {
      // The run meets it again, and knows what to do about it.
      log.warn({ error }, 'a job could not be begun with its claim')
      const claim = await db.transaction(async (stores) => {
        const found = await stores.jobs.claim(wanted)
        await succession.oweTheEndOf(stores, found?.expiredOwner)
        return found
      })
      return claim && { claim }
    }
  }

  function ended(job: Job, result: RunResult): void {
    log.info({ ...aboutJob(job), result }, 'job ended')
    options.onEnd?.(job, result)
  }

  async function perform(claim: Taken, run: Run): Promise<void> {
    const { job, lease } = claim
    try {
      // Ourselves too: a claim of ours that came to nothing may have been of another's, who is still to be ended.
      if (claim.expiredOwner !== null) await succession.endOwners(claim.expiredOwner, run.stop.signal)
      const operation = operationOf(registry, job)
      if (operation === undefined) throw new NeedsAttention(`This program does not know ${operationKey(job.operation, job.version)}.`)
      const progress = createProgress(clock, (now) => void db.transaction((s) => s.jobs.progress(lease, now)).catch(() => {}))
      const gap: Gap | undefined = options.gap === undefined ? undefined : (point) => options.gap?.(job, point) ?? Promise.resolve()
      const signals = { stop: run.stop.signal, cancel: run.cancel.signal, makeWay: run.makeWay.signal, report: progress }
      const result = await runJob({ claim, operation, ports, signals, ...(gap === undefined ? {} : { gap }) })
      ended(job, result)
    } catch (error) {
      if (error instanceof NeedsAttention) {
        const failure = { message: error.message, detail: String(error) }
        await db.transaction((s) => s.jobs.settle(lease, 'needs_attention', failure)).catch(() => {})
      }
      // Anything else leaves the lease to run out: the job is claimed again and looked at with its journal.
      log.error({ ...aboutJob(job), error }, 'job stopped')
    }
  }

  async function renew(): Promise<void> {
    const began = clock.monotonic()
    const left = leaseMs * (2 / 3) - (began - renewedAt) / 1000
    // At once: a database that fails faster than a timer fires must not win time for us.
    if (left <= 0) loseAll()
    const stale = setTimeout(loseAll, Math.max(0, left))
    try {
      const now = clock.now()
      const held = new Set(
        await db.transaction(async (stores) => {
          await stores.workers.update(workerId, { heartbeatAt: now })
          // Only what runs: the lease of a job that stopped must run out, for nobody takes it up before.
          return await stores.jobs.renew(workerId, now + millisToMicros(leaseMs), [...runs.keys()])
        }),
      )
      // A job claimed while we asked is not among the answers, and not lost.
      for (const [id, run] of runs) if (!held.has(id) && run.job.startedAt !== null && !(await stillHeld(id))) run.stop.abort()
      renewedAt = began
    } finally {
      clearTimeout(stale)
    }
  }

  async function stillHeld(jobId: string): Promise<boolean> {
    return (await db.read.jobs.find(ANY, jobId))?.leaseOwner === workerId
  }

  function loseAll(): void {
    for (const run of runs.values()) run.stop.abort()
  }

  async function readFlags(): Promise<void> {
    for (const [id, run] of runs) {
      const flags = await db.read.jobs.flags(id)
      if (flags?.cancelRequested) run.cancel.abort()
      if (flags?.yieldRequested) run.makeWay.abort()
    }
  }
}

const FLAGS_MS = 200

const aboutJob = ({ id, requestId, operation }: Job) => ({ jobId: id, requestId, operation })
