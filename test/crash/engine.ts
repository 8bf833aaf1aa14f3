/**
 * Drives the engine through a fault: claims and runs jobs one by one until nothing is left to do, as a worker does, with
 * time that is moved instead of waited for. A kill at a gap cuts the sockets, ends the tools and drops the database
 * connection; the next incarnation takes the lease over and knows only journal, tables and world.
 */
import { refused, unknown } from '../../src/domain/errors.js'
import { operationKey, type Registry, registry } from '../../src/operations/registry.js'
import { ANY, type Database } from '../../src/ports/stores.js'
import type { Plan, Step } from '../../src/steps/step.js'
import type { Tools } from '../../src/steps/tools.js'
import { takeJob } from '../../src/worker/begin.js'
import { createReconciler } from '../../src/worker/reconciler.js'
import { runJob } from '../../src/worker/runner.js'
import { guests, openMonitor } from './monitor.js'
import { type AgentScript, end, type Incarnation, incarnate, processesOf } from './ports.js'
import type { World } from './world.js'

export type Fault =
  | { readonly kind: 'none' }
  | { readonly kind: 'killed'; readonly gap: string; readonly cancelled?: true }
  | { readonly kind: 'qemu-killed'; readonly gap: string }
  | { readonly kind: 'qemu-killed-amid'; readonly gap: string; readonly after: number }
  | { readonly kind: 'disk-full'; readonly gap: string; readonly left: number }
  | DatabaseLost
  | { readonly kind: 'refused-before' | 'refused-after' | 'unknown-after' | 'repeated'; readonly step: string }

/** A transaction of the job's own fails, its effect kept or not: the answer to COMMIT was lost. */
export interface DatabaseLost {
  readonly kind: 'database-lost'
  readonly write: number
  readonly committed: boolean
}

export interface Drive {
  readonly operation: string
  readonly fault: Fault
  readonly agent?: AgentScript
  /** How long a guest may keep a device; short where nobody would let it go. */
  readonly unplugTimeoutMs?: number
  /** Done once, when the engine has come to rest for the first time. */
  readonly afterwards?: () => Promise<void>
  /** Without the reconciler only what jobs themselves ask for is done. */
  readonly reconciles?: boolean
  /** Called at every gap of the operation under test, with the guests still as they are. */
  readonly atGap?: (gap: string) => Promise<void>
  /** Ways to break the engine, for testing the harness. */
  readonly wrapDb?: (db: Database) => Database
  readonly wrapPlan?: (plan: Plan<object, Tools>) => Plan<object, Tools>
}

export interface Driven {
  /** Gaps and steps of the operation under test, in the order they were met. */
  readonly gaps: string[]
  readonly steps: string[]
  /** Did the fault find what it was to strike? */
  readonly struck: boolean
  /** How the last run of the operation under test ended. */
  readonly ended: string
}

class Killed extends Error {}
/** A fault strikes once; the job it struck. */
interface Spent {
  fault: boolean
  jobId: string | undefined
  writes: number
  /** Of the faults that take their time. */
  striking: Promise<void>
  /** Runs of jobs since the disk is full. */
  fullFor: number
}
const LEASE = 10_000_000
/** As often jobs may fail on a full disk before there is room again. */
const FULL_RUNS = 3

export async function drive(world: World, options: Drive): Promise<Driven> {
  const { fault } = options
  const met = { gaps: [] as string[], steps: [] as string[] }
  const spent: Spent = { fault: false, jobId: undefined, writes: 0, striking: Promise.resolve(), fullFor: 0 }
  const known = sabotaged(options, met, spent)
  let life = await begin(world, options)
  let { afterwards } = options
  let ended = 'never run'
  try {
    for (let round = 0, idle = 0; idle < 2 || afterwards !== undefined; round++) {
      if (idle >= 2 && afterwards !== undefined) {
        await afterwards()
        afterwards = undefined
        idle = 0
      }
      if (round > 400) throw new Error('the engine does not come to rest')
      const now = world.clock.now()
      const claim = await life.ports.db.transaction((s) =>
        takeJob(s, { hostId: world.hostId, workerId: `w${round}`, now, leaseFor: LEASE, except: [] }, known),
      )
      if (fault.kind === 'disk-full' && spent.fault && ++spent.fullFor > FULL_RUNS) await world.makeRoom()
      if (claim === undefined) {
        const reconciler = createReconciler({ ports: life.ports, doorbell: { ring: () => {} }, log: { info: () => {}, warn: () => {} } })
        if (options.reconciles !== false) {
          await reconciler.guests()
          await reconciler.sweep()
        }
        world.clock.advance(120)
        idle = (await unfinished(world)) > 0 ? 0 : idle + 1
        if (round > 300) break
        continue
      }
      idle = 0
      const operation = known.get(operationKey(claim.job.operation, claim.job.version))
      if (operation === undefined) throw new Error(`unknown operation ${claim.job.operation}`)
      const stop = new AbortController()
      const cancel = new AbortController()
      if (fault.kind === 'killed' && fault.cancelled && spent.jobId === claim.job.id) cancel.abort()
      const signals = { stop: stop.signal, cancel: cancel.signal, makeWay: new AbortController().signal, report: () => {} }
      const gap = async (point: string): Promise<void> => {
        if (claim.job.operation !== options.operation) return
        met.gaps.push(point)
        await options.atGap?.(point)
        if (spent.fault || !('gap' in fault) || fault.gap !== point) return
        spent.fault = true
        spent.jobId = claim.job.id
        if (fault.kind === 'qemu-killed') return await killGuests(world.dir)
        if (fault.kind === 'disk-full') return await world.fill(fault.left)
        if (fault.kind === 'qemu-killed-amid') {
          spent.striking = new Promise((resolve) => setTimeout(resolve, fault.after)).then(() => killProcesses(world.dir))
          return
        }
        stop.abort()
        throw new Killed()
      }
      const ports = claim.job.operation === options.operation ? { ...life.ports, db: unreliable(life.ports.db, fault, spent) } : life.ports
      const result = await runJob({ claim, operation, ports, signals, gap }).catch(() => 'lost')
      await spent.striking
      if (claim.job.operation === options.operation) ended = result
      if (result === 'lost' || stop.signal.aborted) {
        await life.die()
        world.clock.advance(LEASE / 1_000_000 + 1)
        life = await begin(world, options)
      }
      if (result === 'requeued') {
        world.clock.advance(61)
        // In a minute every socket would have told that its other end is gone: without a turn of the loop none does.
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    }
  } finally {
    await life.die()
    await world.makeRoom()
  }
  return { ...met, struck: spent.fault, ended }
}

const begin = async (world: World, { agent = 'honest', wrapDb, unplugTimeoutMs }: Drive): Promise<Incarnation> =>
  await incarnate(world, agent, {
    ...(wrapDb === undefined ? {} : { wrapDb }),
    ...(unplugTimeoutMs === undefined ? {} : { unplugTimeoutMs }),
  })

async function unfinished(world: World): Promise<number> {
  const states = ['queued', 'running', 'undoing']
  return (await world.db.read.jobs.list(ANY, { where: { projectId: { is: world.projectId }, state: { in: states } } })).length
}

export async function killGuests(dir: string): Promise<void> {
  for (const pid of (await guests(dir)).values()) await end(pid)
}

/** Guests, storage daemons and tools, whatever of them there is just now. */
async function killProcesses(dir: string): Promise<void> {
  for (const pid of await processesOf(dir)) await end(pid)
}

/** Resumes or stops nothing: asks each running guest to write, as its driver would, and to flush. */
export async function writeInGuest(socket: string, device: string, block: number, byte: number): Promise<'written' | 'standing'> {
  const monitor = await openMonitor(socket)
  try {
    const { status } = await monitor.ask<{ status: string }>('query-status')
    if (status !== 'running') return 'standing'
    return (await monitor.write(device, block, byte)) ? 'written' : 'standing'
  } finally {
    monitor.close()
  }
}

/** Fails one transaction of the job under test, by number. */
function unreliable(db: Database, fault: Fault, spent: Spent): Database {
  if (fault.kind !== 'database-lost') return db
  return {
    ...db,
    async transaction(work) {
      if (spent.fault || spent.writes++ !== fault.write) return await db.transaction(work)
      spent.fault = true
      if (fault.committed) await db.transaction(work)
      throw unknown('sabotage: the database went away')
    },
  }
}

/** The registry with one step of one operation behaving badly once. */
function sabotaged({ operation, fault, wrapPlan = (plan) => plan }: Drive, met: Pick<Driven, 'steps'>, spent: Spent): Registry {
  const bend = <S extends Step<object, Tools>>(step: S): S => {
    if (!met.steps.includes(step.name)) met.steps.push(step.name)
    return {
      ...step,
      async apply(input: object, tools: Tools) {
        if (spent.fault || !('step' in fault) || fault.step !== step.name) return await step.apply(input, tools)
        spent.fault = true
        if (fault.kind === 'refused-before') throw refused('sabotage before the effect')
        await step.apply(input, tools)
        if (fault.kind === 'repeated') return await step.apply(input, tools)
        throw fault.kind === 'refused-after' ? refused('sabotage after the effect') : unknown('sabotage: the answer is lost')
      },
    }
  }
  return new Map(
    [...registry].map(([key, original]) => [
      key,
      original.descriptor.name !== operation
        ? original
        : {
            ...original,
            plan(input: object) {
              const plan = wrapPlan(original.plan(input))
              const pivot = plan.pivot === undefined ? {} : { pivot: bend(plan.pivot) }
              return { ...plan, ...pivot, prepare: plan.prepare.map(bend), finish: plan.finish.map(bend) }
            },
          },
    ]),
  )
}
