/**
 * The Hypervisor port on plain QEMU processes. A guest is a run directory (its sockets), a pid file and a
 * serial log below the state directory, all named after the server; it runs in its own session and outlives
 * us. What we keep in memory are sessions only: lose them, and `find` makes them anew.
 */
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { refused } from '../domain/errors.js'
import { shortId, uuidFromShortId } from '../domain/names.js'
import type { Guest, GuestSpec, Hypervisor } from '../ports/hypervisor.js'
import { createBlockHost } from './block-host.js'
import { type Accel, guestArguments } from './command-line.js'
import { createGuest } from './guest.js'
import { boundConsole, forgetConsole, readConsole, rotateConsole } from './guest-console.js'
import { asUser, createGrant, type GuestUser } from './guest-user.js'
import { factsOfHost } from './machine-facts.js'
import { firstToAnswer, MONITORS } from './monitors.js'
import { awaitMonitor, findProcess, forgetProcess, killProcess, type ProcessIdentity, searchProcess, startProcess } from './process.js'
import type { QmpSession } from './qmp/session.js'

export interface HypervisorOptions {
  readonly stateDir: string
  /** What guests are run with; asked at each launch. */
  readonly accel: () => Promise<Accel>
  /** Guests run as this user, who must be able to reach what lies above the state directory and the pools. */
  readonly guestUser?: GuestUser
  readonly binary?: string
  readonly launchTimeoutMs?: number
}

/** Unix socket paths end at 107 bytes, and Node cuts longer ones without a word. */
const MAX_SOCKET_PATH = 100

interface Live {
  readonly guest: Guest
  readonly session: QmpSession
}

export function createHypervisor(options: HypervisorOptions): Hypervisor {
  const { stateDir, guestUser, binary = 'qemu-system-x86_64' } = options
  const longest = Buffer.byteLength(join(stateDir, 'run', 'x'.repeat(26), 'people.sock'))
  if (longest >= MAX_SOCKET_PATH) {
    throw new Error(`the state directory's path is ${longest - MAX_SOCKET_PATH + 1} bytes too long for unix sockets: ${stateDir}`)
  }
  const cache = new Map<string, Live>()
  const connecting = new Map<string, Promise<Guest>>()
  /** A monitor serves one client: whoever asks for a guest in its start must not take it from the launch. */
  const launching = new Map<string, Promise<void>>()
  const listeners = new Set<(serverId: string) => void>()
  const tell = (serverId: string): void => {
    for (const listener of [...listeners]) listener(serverId)
  }
  const grant = createGrant(stateDir, guestUser)

  const cleanUp = async (serverId: string): Promise<void> => {
    cache.get(serverId)?.session.close()
    cache.delete(serverId)
    const paths = pathsOf(stateDir, serverId)
    await rm(paths.runDir, { recursive: true, force: true })
    await forgetProcess(paths.record)
  }

  const keep = (serverId: string, session: QmpSession, identity: ProcessIdentity): Guest => {
    const blocks = createBlockHost({ session, live: true, grant })
    const memorySocket = pathsOf(stateDir, serverId).memory
    const guest = createGuest({ serverId, session, identity, blocks, memorySocket, grant, cleanUp: () => cleanUp(serverId) })
    cache.set(serverId, { guest, session })
    session.onEvent(({ event }) => POWER_EVENTS.has(event) && tell(serverId))
    session.onState((state) => {
      if (state !== 'idle') return
      if (cache.get(serverId)?.session === session) cache.delete(serverId)
      tell(serverId)
    })
    return guest
  }

  const connect = async (serverId: string, identity: ProcessIdentity): Promise<Guest> => {
    return keep(serverId, await firstToAnswer(pathsOf(stateDir, serverId).monitors), identity)
  }

  const reach = async (serverId: string): Promise<Guest | undefined> => {
    const identity = await locate(stateDir, serverId)
    if (identity === undefined) return undefined
    const attempt = connecting.get(serverId) ?? connect(serverId, identity).finally(() => connecting.delete(serverId))
    connecting.set(serverId, attempt)
    return await attempt
  }

  const launchOne = async (spec: GuestSpec, incoming: boolean): Promise<void> => {
    if ((await locate(stateDir, spec.serverId)) !== undefined) throw refused(`server ${spec.serverId} has a QEMU already`)
    const accel = await options.accel()
    await cleanUp(spec.serverId)
    const paths = pathsOf(stateDir, spec.serverId)
    await mkdir(paths.runDir, { recursive: true, mode: 0o700 })
    await mkdir(join(stateDir, 'guests'), { recursive: true, mode: 0o700 })
    await rotateConsole(paths.console)
    const files = spec.disks.flatMap((disk) => disk.chain.map((layer) => layer.path))
    if (spec.kernel !== undefined) files.push(spec.kernel.path, ...(spec.kernel.initrd === undefined ? [] : [spec.kernel.initrd]))
    for (const path of [paths.runDir, paths.console, ...new Set(files)]) await grant(path)
    const qemu = [binary, ...guestArguments(spec, paths, accel), ...(incoming ? ['-incoming', 'defer'] : [])]
    const [command = '', ...args] = guestUser === undefined ? qemu : [...asUser(guestUser), ...qemu]
    try {
      const started = await startProcess({ command, args, logPath: paths.said, record: paths.record })
      const session = await awaitMonitor(started, paths.monitor, paths.said, options.launchTimeoutMs ?? 30_000)
      keep(spec.serverId, session, started.identity)
    } catch (error) {
      await cleanUp(spec.serverId)
      throw error
    }
  }

  const launch = async (spec: GuestSpec, incoming = false): Promise<void> => {
    if (launching.has(spec.serverId)) throw refused(`server ${spec.serverId} is being started already`)
    const attempt = launchOne(spec, incoming).finally(() => launching.delete(spec.serverId))
    launching.set(
      spec.serverId,
      attempt.catch(() => undefined),
    )
    await attempt
  }

  return {
    launch: (spec, options) => launch(spec, options?.incoming),
    facts: async () => await factsOfHost(binary, await options.accel()),
    isRunning: async (serverId) => (await locate(stateDir, serverId)) !== undefined,
    find: async (serverId) => {
      await launching.get(serverId)
      const cached = cache.get(serverId)
      if (cached?.session.state === 'running') return cached.guest
      try {
        return await (connecting.get(serverId) ?? reach(serverId))
      } catch (error) {
        // It may have ended while it was asked: then there is none, and nobody need ask again.
        if ((await locate(stateDir, serverId)) === undefined) return undefined
        throw error
      }
    },
    kill: async (serverId) => {
      const identity = await locate(stateDir, serverId)
      if (identity !== undefined) await killProcess(identity)
      await cleanUp(serverId)
    },
    running: () => running(stateDir),
    onChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    console: (serverId, lines) => readConsole(pathsOf(stateDir, serverId).console, lines),
    boundConsole: (serverId) => boundConsole(pathsOf(stateDir, serverId).console),
    forget: async (serverId) => {
      if ((await locate(stateDir, serverId)) !== undefined) throw refused(`server ${serverId} still has a QEMU`)
      await cleanUp(serverId)
      await forgetConsole(pathsOf(stateDir, serverId).console)
    },
    close: async () => {
      listeners.clear()
      for (const { session } of [...cache.values()]) session.close()
      cache.clear()
    },
  }
}

const POWER_EVENTS: ReadonlySet<string> = new Set(['SHUTDOWN', 'RESET', 'STOP', 'RESUME'])

function pathsOf(stateDir: string, serverId: string) {
  const runDir = join(stateDir, 'run', shortId(serverId))
  const record = join(stateDir, 'guests', serverId)
  return {
    runDir,
    record,
    monitor: join(runDir, MONITORS[0]),
    monitors: MONITORS.map((name) => join(runDir, name)),
    people: join(runDir, 'people.sock'),
    memory: join(runDir, 'mem.sock'),
    agent: join(runDir, 'ga.sock'),
    said: join(runDir, 'qemu.log'),
    console: `${record}.log`,
  }
}

/** A run directory without a pid file: a worker died between start and record, so look among all processes. */
async function locate(stateDir: string, serverId: string): Promise<ProcessIdentity | undefined> {
  const { record, runDir, monitor } = pathsOf(stateDir, serverId)
  if (await exists(`${record}.pid`)) return await findProcess(record, monitor)
  return (await exists(runDir)) ? await searchProcess(record, monitor) : undefined
}

async function running(stateDir: string): Promise<string[]> {
  const found = new Set<string>()
  for (const name of await list(join(stateDir, 'guests'))) if (name.endsWith('.pid')) found.add(name.slice(0, -4))
  for (const name of await list(join(stateDir, 'run'))) {
    const serverId = uuidFromShortId(name)
    if (serverId !== undefined) found.add(serverId)
  }
  const alive = await Promise.all([...found].map(async (id) => ((await locate(stateDir, id)) === undefined ? [] : [id])))
  return alive.flat().sort()
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

const list = (path: string): Promise<string[]> => readdir(path).catch(() => [])
