/** The worker's half of the composition: adapters to QEMU and the keeper, the engine, the reconciler and the host's heartbeat. */
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BadConfig, type Config } from './config.js'
import type { Job } from './domain/job.js'
import { shortId } from './domain/names.js'
import { createMemoryFiles } from './host/memory-seal.js'
import { createGuestAgent } from './keeper/guest-agent.js'
import { ownKeeperCommand } from './keeper/start.js'
import type { Logger } from './logger.js'
import type { Metrics } from './metrics.js'
import { registry } from './operations/registry.js'
import type { Clock } from './ports/clock.js'
import type { Doorbell } from './ports/doorbell.js'
import type { Database } from './ports/stores.js'
import { createAccel } from './qemu/accel.js'
import { createHypervisor } from './qemu/hypervisor.js'
import { createImageInspector } from './qemu/inspector.js'
import { createLayerFiles } from './qemu/layer-files.js'
import { createOfflineHosts } from './qemu/storage-daemon.js'
import { FREEZE } from './steps/freeze.js'
import { SWITCH } from './steps/switch-top-layers.js'
import { TAKE_TAGS } from './steps/tags.js'
import type { WorkerPorts } from './steps/tools.js'
import { createStorageAuditor } from './worker/auditor.js'
import type { LocalDoorbell } from './worker/doorbell.js'
import { createHostMemory } from './worker/host-memory.js'
import { createPowerCut } from './worker/power-cut.js'
import { createReconciler } from './worker/reconciler.js'
import { createWorker } from './worker/worker.js'

const HEARTBEAT_MS = 5_000
const GUESTS_MS = 5_000
const SWEEP_MS = 60_000

export interface Adapters {
  readonly ports: WorkerPorts
  close(): Promise<void>
}

export const stagingDir = (config: Config): string => join(config.stateDir, 'staging')

export function createAdapters(config: Config, base: { db: Database; clock: Clock }): Adapters {
  const { stateDir } = config
  const files = createLayerFiles()
  const trial = tinyGuest()
  const accel = createAccel({ stateDir, ...(trial === undefined ? {} : { trial }) })
  const user = guestUser(config.guestUser)
  const hypervisor = createHypervisor({
    stateDir,
    accel: config.accelerator === 'auto' ? accel : async () => (config.accelerator === 'kvm' ? 'kvm' : 'tcg'),
    ...(user === undefined ? {} : { guestUser: user }),
  })
  const offlineHosts = createOfflineHosts({ stateDir })
  const runPathOf = (serverId: string): string => join(stateDir, 'run', shortId(serverId))
  const agent = createGuestAgent({ stateDir, runPathOf, keeperCommand: ownKeeperCommand() })
  const settings = {
    hostId: config.host,
    freezeBudgetMs: config.freezeBudgetMs,
    maxVirtualSize: config.maxVirtualSize,
    unplugTimeoutMs: config.unplugTimeoutMs,
  }
  const memory = createMemoryFiles({ stateDir })
  const auditor = createStorageAuditor({ db: base.db, hypervisor, files })
  return {
    ports: { ...base, hypervisor, offlineHosts, agent, files, inspector: createImageInspector(), memory, auditor, settings },
    async close() {
      await Promise.allSettled([hypervisor.close(), offlineHosts.close(), agent.close()])
    },
  }
}

/** The tiny guest, where it was built: what KVM is tried with. */
function tinyGuest(): { kernel: string; initrd: string } | undefined {
  for (const root of ['..', '../..']) {
    const directory = join(import.meta.dirname, root, '.cache', 'guest')
    const found = { kernel: join(directory, 'vmlinuz'), initrd: join(directory, 'guest.cpio.gz') }
    if (existsSync(found.kernel) && existsSync(found.initrd)) return found
  }
  return undefined
}

function guestUser(name: string | undefined): { name: string; uid: number; gid: number } | undefined {
  if (name === undefined) return undefined
  const ask = (flag: string): number => Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
  try {
    return { name, uid: ask('-u'), gid: ask('-g') }
  } catch (error) {
    throw new BadConfig([`STRATA_GUEST_USER: there is no user ${name} (${(error as Error).message.split('\n')[0]})`])
  }
}

export interface WorkOptions {
  readonly config: Config
  readonly adapters: Adapters
  readonly doorbell: Doorbell
  readonly local: LocalDoorbell
  readonly log: Logger
  readonly metrics: Metrics
}

/** Starts claiming; first the reconciler sees what happened while nobody looked. */
export async function startWork({ config, adapters, doorbell, local, log, metrics }: WorkOptions) {
  const { ports } = adapters
  const { db, clock, hypervisor } = ports
  const reconciler = createReconciler({ ports, doorbell, log })
  const worker = createWorker({
    ports,
    registry,
    workerId: randomUUID(),
    doorbell: local,
    log,
    concurrency: config.concurrency,
    leaseMs: config.leaseMs,
    pollMs: config.pollIntervalMs,
    onEnd: (job, result) => void measure(db, metrics, clock, job, result).catch((err) => log.warn({ err }, 'a job was not counted')),
  })
  await reconciler.hostStarted((await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim())
  const hostMemory = createHostMemory({ ports, doorbell, log })
  await worker.start()
  const restoring = await hostMemory.restoreAll()
  if (restoring > 0) log.info({ guests: restoring }, 'restoring guests from their saved memory')

  // Not in the way of the start: QEMU is asked, and KVM may have to be tried.
  void hypervisor
    .facts()
    .then((capabilities) => db.transaction((stores) => stores.hosts.update(config.host, { capabilities })))
    .catch((err) => log.warn({ err }, 'what this host can do could not be recorded'))

  let beatAt = clock.monotonic()
  const beat = async (): Promise<void> => {
    await db.transaction((stores) => stores.hosts.update(config.host, { heartbeatAt: clock.now(), state: 'up' }))
    beatAt = clock.monotonic()
  }
  const guests = async (): Promise<void> => void (await reconciler.guests())
  const powerCut = createPowerCut({ ports, registry, log })
  const cutPower = async (): Promise<void> => {
    if ((await powerCut.look()).length > 0) doorbell.ring(config.host)
  }
  const timers = [
    repeat(beat, HEARTBEAT_MS, log),
    repeat(guests, GUESTS_MS, log),
    repeat(cutPower, GUESTS_MS, log),
    repeat(async () => void (await hostMemory.restoreLate()), GUESTS_MS, log),
    repeat(() => reconciler.sweep(), SWEEP_MS, log),
  ]
  const stopListening = hypervisor.onChange(() => void guests().catch((err) => log.warn({ err }, 'guests will be looked at again')))
  return {
    /** `ok`, or what is wrong. */
    state: (): string => (clock.monotonic() - beatAt < 4 * HEARTBEAT_MS * 1000 ? 'ok' : 'no heartbeat'),
    /** Takes as long as it takes: a guest that is not saved in the end loses its memory. */
    saveGuests: (): Promise<void> => hostMemory.saveAll(),
    async drain(withinMs: number): Promise<void> {
      stopListening()
      for (const timer of timers) clearInterval(timer)
      await worker.drain(withinMs)
    },
  }
}

/** Not again before the last time has ended. */
function repeat(work: () => Promise<void>, everyMs: number, log: Logger): NodeJS.Timeout {
  let busy = false
  return setInterval(() => {
    if (busy) return
    busy = true
    void work()
      .catch((err: unknown) => log.warn({ err }, 'will be tried again'))
      .finally(() => {
        busy = false
      })
  }, everyMs)
}

const CAPTURES = new Set(['create-snapshot', 'create-server-snapshot', 'capture-image', 'clone-volume'])

async function measure(db: Database, metrics: Metrics, clock: Clock, job: Job, result: string): Promise<void> {
  metrics.jobEnded({ operation: job.operation, state: result, seconds: Math.max(0, (clock.now() - job.createdAt) / 1e6) })
  if (!CAPTURES.has(job.operation)) return
  for (const step of await db.read.jobs.steps(job.id)) {
    const { held, frozen, switchedIn } = step.facts as { held?: number; frozen?: number; switchedIn?: number }
    if (step.name === FREEZE && held !== undefined && (frozen ?? 0) > 0) metrics.frozen(held / 1e6)
    if ((step.name === SWITCH || step.name === TAKE_TAGS) && switchedIn !== undefined) metrics.switched(switchedIn / 1e6)
  }
}
