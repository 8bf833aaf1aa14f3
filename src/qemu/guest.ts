/** The Guest port over one QMP session: run state, power, and the devices its disks are plugged in by. */
import { setTimeout as sleep } from 'node:timers/promises'
import { AdapterError, refused, unknown } from '../domain/errors.js'
import { deviceName, uuidFromShortId } from '../domain/names.js'
import type { BlockHost } from '../ports/block.js'
import type { Guest, GuestDisk, RunState } from '../ports/hypervisor.js'
import { makeWritable } from './block-reopen.js'
import { createCheckpoints } from './checkpoints.js'
import { deviceOf, topLayer } from './command-line.js'
import { factsOfGuest } from './machine-facts.js'
import { cancelSave, loadMemory, saveMemory } from './memory-stream.js'
import { isAlive, type ProcessIdentity, waitUntilGone } from './process.js'
import { isRefusal, type QmpSession } from './qmp/session.js'
import { watch } from './qmp/watch.js'

export interface GuestOptions {
  readonly serverId: string
  readonly session: QmpSession
  readonly identity: ProcessIdentity
  readonly blocks: BlockHost
  /** A socket of its run directory, for its memory. */
  readonly memorySocket: string
  /** Gives a path to the user QEMU runs as. */
  readonly grant: (path: string) => Promise<void>
  /** Called when the process has ended in good order. */
  cleanUp(): Promise<void>
}

const SAFETY_NET_MS = 500
/** A clean end flushes every disk first. */
const QUIT_MS = 60_000

export function createGuest(options: GuestOptions): Guest {
  const { session, identity } = options
  const runState = async (): Promise<RunState> => toRunState((await session.execute('query-status')).status)
  const diskIds = async (): Promise<string[]> => (await deviceNames(session)).flatMap((name) => diskOf(name) ?? [])
  const ends = { session, identity, socketPath: options.memorySocket, grant: options.grant }
  return {
    serverId: options.serverId,
    blocks: options.blocks,
    checkpoints: createCheckpoints(session, options.grant),
    runState,
    resume: async () => void (await session.execute('cont')),
    pause: async () => void (await session.execute('stop')),
    reset: async () => void (await session.execute('system_reset')),
    pressPowerButton: async () => void (await session.execute('system_powerdown')),
    waitForShutdown: (timeoutMs, signal) => waitForShutdown(options, runState, timeoutMs, signal),
    devices: diskIds,
    facts: async () => await factsOfGuest(session, await diskIds()),
    saveMemory: (path, options) => saveMemory(ends, path, options),
    cancelSave: () => cancelSave(session),
    loadMemory: (path, options) => loadMemory(ends, path, options),
    plug: (disk) => plug(session, disk),
    unplug: (diskId, timeoutMs) => unplug(session, deviceName(diskId), timeoutMs),
    quit: async () => {
      try {
        await session.execute('quit')
      } catch (error) {
        // The connection may end before the reply: then the process tells.
        const sent = error instanceof AdapterError && error.outcome === 'unknown' && error.reason !== 'qemu-silent'
        if (!sent && (await isAlive(identity))) throw error
      }
      if (!(await waitUntilGone(identity, QUIT_MS))) throw unknown('QEMU was told to quit and is still there')
      await options.cleanUp()
    },
  }
}

async function waitForShutdown(
  { session, identity }: GuestOptions,
  runState: () => Promise<RunState>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  const changes = watch(session, (event) => event.event === 'SHUTDOWN' || event.event === 'STOP')
  try {
    for (;;) {
      signal?.throwIfAborted()
      if (!(await isAlive(identity))) return true
      try {
        if ((await runState()) === 'shutdown') return true
      } catch (error) {
        if (!(error instanceof AdapterError)) throw error
        // A lost session says nothing about the guest: look at the process again, a little later.
        await sleep(20)
      }
      const left = deadline - Date.now()
      if (left <= 0) return false
      await changes.wait(Math.min(left, SAFETY_NET_MS), signal)
    }
  } finally {
    changes.stop()
  }
}

async function plug(session: QmpSession, disk: GuestDisk): Promise<void> {
  if ((await deviceNames(session)).includes(deviceName(disk.diskId))) return
  if (disk.readonly !== true) await makeWritable(session, [topLayer(disk)])
  await session.execute('device_add', deviceOf(disk)).catch((cause: unknown) => {
    // Its words choose the sentence for the user, and decide nothing.
    const full = cause instanceof AdapterError && cause.outcome === 'refused' && /no slot/.test(cause.message)
    throw full ? refused(cause.message, { cause, reason: 'no-slot' }) : cause
  })
}

/** A guest that does not look at its bus (the firmware, a hung kernel) never answers, and may answer later. */
async function unplug(session: QmpSession, device: string, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  const changes = watch(session, (event) => event.event === 'DEVICE_DELETED' && event.data.device === device)
  const isThere = async (): Promise<boolean> => (await deviceNames(session)).includes(device)
  try {
    if (!(await isThere())) return true
    await session.execute('device_del', { id: device }).catch(async (error: unknown) => {
      if (!isRefusal(error) || (await isThere())) throw error
    })
    while (await isThere()) {
      const left = deadline - Date.now()
      if (left <= 0) return false
      await changes.wait(Math.min(left, SAFETY_NET_MS))
    }
    return true
  } finally {
    changes.stop()
  }
}

async function deviceNames(session: QmpSession): Promise<string[]> {
  return (await session.execute('qom-list', { path: '/machine/peripheral' })).map((entry) => entry.name)
}

const diskOf = (name: string): string | undefined => (name.startsWith('d-') ? uuidFromShortId(name.slice(2)) : undefined)

const KNOWN: readonly RunState[] = ['running', 'paused', 'prelaunch', 'shutdown', 'io-error', 'internal-error', 'inmigrate', 'postmigrate']
const toRunState = (status: string): RunState => KNOWN.find((state) => state === status) ?? 'other'
