/**
 * A guest's memory and devices as one compressed file, out of QEMU's migration stream and into it again. QEMU may start no
 * program (its sandbox), so the stream goes through a unix socket in the run directory, and that socket is zstd's standard
 * input or output: no byte of it passes through us. zstd dies with us, QEMU then sees its end of the stream closed, and the
 * migration fails by itself: a worker that was killed leaves nothing at work.
 *
 * A save writes `<path>.part` and ends with the guest in run state `postmigrate`; it makes nothing durable and gives nothing
 * its name, for a guest that is to go on should not wait for that. A load of a stream that is cut or wrong ends QEMU.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { createServer, type Server, Socket } from 'node:net'
import { AdapterError, refused, unavailable, unknown } from '../domain/errors.js'
import type { MemorySaved, MemorySaveOptions, SaveOptions } from '../ports/hypervisor.js'
import { PAUSE_MS, pressOn } from './memory-pace.js'
import { isAlive, type ProcessIdentity } from './process.js'
import type { Result } from './qmp/commands.js'
import type { QmpSession } from './qmp/session.js'
import { type Watch, watch } from './qmp/watch.js'
import { deathNote, findProgram } from './tool.js'

export interface StreamEnds {
  readonly session: QmpSession
  readonly identity: ProcessIdentity
  /** In the guest's run directory. */
  readonly socketPath: string
  /** Gives a path to the user QEMU runs as. */
  readonly grant: (path: string) => Promise<void>
}

const SAFETY_NET_MS = 250
const CONNECT_MS = 10_000
const CANCEL_MS = 60_000
/** Far more than any host writes: the default would hold a save to 128 MiB a second. */
const UNBOUND = 2 ** 40

export async function saveMemory(ends: StreamEnds, path: string, options: MemorySaveOptions): Promise<MemorySaved> {
  const { signal, onProgress, goesOn = false } = options
  const { session, socketPath } = ends
  if (signal.aborted) throw unavailable('the memory was not saved: stopped', { cause: signal.reason })
  await prepare(session, goesOn ? PAUSE_MS.least : PAUSE_MS.usual)
  const file = await create(`${path}.part`)
  const changes = watch(session, ({ event }) => event === 'MIGRATION' || event === 'STOP')
  let stoppedAt: number | undefined
  const stopListening = session.onEvent(({ event }) => {
    if (event === 'STOP') stoppedAt = performance.now()
  })
  let tool: Tool | undefined
  let door: Door | undefined
  try {
    door = await listen(socketPath)
    await ends.grant(socketPath)
    await session.execute('migrate', { uri: `unix:${socketPath}` })
    const socket = await door.client
    tool = startZstd(['-q', '-1', '-c'], socket, file.fd)
    const press = goesOn ? pressOn(session) : async () => {}
    await settled(ends, changes, signal, tool, async (ram) => {
      onProgress?.({ bytesDone: ram.transferred, bytesTotal: ram.transferred + ram.remaining })
      await press(ram['dirty-sync-count'])
    })
    const state = await awaitState(session, changes, signal, (status) => status !== 'finish-migrate' && status !== 'running')
    if (state !== 'postmigrate') throw unknown(`the memory is saved, but the guest is ${state}`)
    await tool.ended
    return { stoppedForMicros: stoppedAt === undefined ? 0 : Math.round((performance.now() - stoppedAt) * 1000) }
  } catch (error) {
    throw signal.aborted ? unknown('saving the memory was stopped', { cause: error }) : error
  } finally {
    stopListening()
    changes.stop()
    tool?.kill()
    door?.close()
    await file.close()
    await rm(socketPath, { force: true })
  }
}

/** Ends a save that is under way and waits for its end. What it wrote stays; of none succeeds. The guest may be in `postmigrate`. */
export async function cancelSave(session: QmpSession): Promise<void> {
  const changes = watch(session, ({ event }) => event === 'MIGRATION')
  const deadline = Date.now() + CANCEL_MS
  try {
    for (let asked = false; ; asked = true) {
      const { status = 'none' } = await session.execute('query-migrate')
      if (OVER.has(status)) break
      if (!asked) await session.execute('migrate_cancel')
      if (Date.now() >= deadline) throw unknown('QEMU does not end its migration')
      await changes.wait(SAFETY_NET_MS)
    }
    await awaitState(session, changes, undefined, (status) => status !== 'finish-migrate')
  } finally {
    changes.stop()
  }
}

/** Into a QEMU launched for it. Resolves with the guest stopped at the instant it was saved; refused: QEMU is gone, the file stays. */
export async function loadMemory(ends: StreamEnds, path: string, { signal, onProgress }: SaveOptions): Promise<void> {
  const { session, socketPath } = ends
  if (signal.aborted) throw unavailable('the memory was not loaded: stopped', { cause: signal.reason })
  await prepare(session)
  await rm(socketPath, { force: true })
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((cause: NodeJS.ErrnoException) => {
    throw refused('the file of the memory cannot be opened', { cause, reason: 'memory-unreadable' })
  })
  const changes = watch(session, ({ event }) => event === 'MIGRATION')
  let tool: Tool | undefined
  try {
    await session.execute('migrate-incoming', { uri: `unix:${socketPath}` })
    const socket = await dial(socketPath)
    tool = startZstd(['-q', '-d', '-c'], file, socket)
    await loaded(ends, changes, signal, (bytesDone, bytesTotal) => onProgress?.({ bytesDone, bytesTotal }))
    await awaitState(session, changes, signal, (status) => status !== 'inmigrate')
  } catch (error) {
    if (signal.aborted) throw unknown('loading the memory was stopped', { cause: error })
    // Said before QEMU has gone, or instead of it: what is broken is the stream.
    const words = tool?.words() ?? ''
    if (error instanceof AdapterError && error.outcome === 'refused' && words !== '') throw unreadable(words, error)
    throw error
  } finally {
    changes.stop()
    tool?.kill()
    await file.close()
    await rm(socketPath, { force: true })
  }
}

async function create(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o600)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const reason = code === 'ENOSPC' || code === 'EDQUOT' ? 'no-space' : code === 'EROFS' ? 'pool-readonly' : 'pool-io'
    throw refused('a file for the memory cannot be made', { cause, reason })
  }
}

async function prepare(session: QmpSession, pauseMs: number = PAUSE_MS.usual): Promise<void> {
  if (findProgram('zstd') === undefined) throw unavailable('zstd is not installed', { reason: 'program-missing' })
  await session.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] })
  await session.execute('migrate-set-parameters', { 'max-bandwidth': UNBOUND, 'downtime-limit': pauseMs })
}

const OVER: ReadonlySet<string> = new Set(['none', 'completed', 'failed', 'cancelled'])

async function settled(
  { session }: StreamEnds,
  changes: Watch,
  signal: AbortSignal,
  tool: Tool,
  look: (ram: Ram) => Promise<void>,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    const { status, ram, 'error-desc': reason } = await session.execute('query-migrate')
    if (status === 'completed') return
    if (ram !== undefined) await look(ram)
    if (status === 'failed' || status === 'cancelled') {
      // QEMU knows of a broken pipe only; who broke it knows why.
      await tool.ended
      throw refused(`QEMU did not save the memory: ${reason ?? status}`)
    }
    if (session.state !== 'running') throw unknown('the monitor was lost while the memory was saved')
    await changes.wait(SAFETY_NET_MS, signal)
  }
}

type Ram = NonNullable<Result<'query-migrate'>['ram']>

async function loaded(
  { session, identity }: StreamEnds,
  changes: Watch,
  signal: AbortSignal,
  report: (done: number, total: number) => void,
): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    try {
      const { status, ram } = await session.execute('query-migrate')
      if (ram !== undefined) report(ram.transferred, ram.total)
      if (status === 'completed') return
    } catch (error) {
      if (await isAlive(identity)) throw error
      throw unreadable('QEMU ended over it', error)
    }
    await changes.wait(SAFETY_NET_MS, signal)
  }
}

async function awaitState(
  session: QmpSession,
  changes: Watch,
  signal: AbortSignal | undefined,
  wanted: (status: string) => boolean,
): Promise<string> {
  for (let pause = 1; ; pause = Math.min(50, pause * 2)) {
    signal?.throwIfAborted()
    const { status } = await session.execute('query-status')
    if (wanted(status)) return status
    // No event says this.
    await changes.wait(pause, signal)
  }
}

const unreadable = (why: string, cause: unknown): AdapterError =>
  refused(`the saved memory cannot be loaded: ${why}`, { cause, reason: 'memory-unreadable' })

interface Door {
  readonly client: Promise<Socket>
  close(): void
}

async function listen(socketPath: string): Promise<Door> {
  await rm(socketPath, { force: true })
  // Not read from by us, not a byte.
  const server: Server = createServer({ pauseOnConnect: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketPath, resolve)
  })
  let arrived: Socket | undefined
  const client = new Promise<Socket>((resolve, reject) => {
    const timer = setTimeout(() => reject(unknown('QEMU did not connect to be saved', { reason: 'qemu-silent' })), CONNECT_MS)
    server.once('connection', (socket: Socket) => {
      clearTimeout(timer)
      arrived = socket
      socket.on('error', () => {})
      resolve(socket)
    })
    server.once('close', () => clearTimeout(timer))
  })
  client.catch(() => undefined)
  return {
    client,
    close() {
      arrived?.destroy()
      server.close()
    },
  }
}

function dial(socketPath: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = new Socket()
    socket.pause()
    socket.on('error', (cause) => reject(unknown('QEMU does not take the memory', { cause })))
    socket.connect({ path: socketPath }, () => resolve(socket))
  })
}

interface Tool {
  /** Resolves when it ended well. Refused: it did not. */
  readonly ended: Promise<void>
  words(): string
  kill(): void
}

/** `from` and `to`: a socket is handed over, and ours is closed, so that its end is the tool's end. */
function startZstd(args: readonly string[], from: Socket | FileHandle, to: Socket | number): Tool {
  const [command = '', ...rest] = [...deathNote(), 'zstd', ...args]
  const input = from instanceof Socket ? from : from.fd
  const child: ChildProcess = spawn(command, rest, { stdio: [input, to, 'pipe'], env: { PATH: process.env['PATH'], LC_ALL: 'C' } })
  for (const end of [from, to]) if (end instanceof Socket) end.destroy()
  let words = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-2_000)
  })
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', (cause) => reject(unavailable('zstd cannot be started', { cause })))
    child.once('close', (code, signal) => {
      if (code === 0) return resolve()
      if (signal !== null) return reject(unknown(`zstd was killed by ${signal}`))
      // Its words choose the sentence for the user, and decide nothing.
      const full = /No space left|File too large/.test(words) ? ({ reason: 'no-space' } as const) : {}
      reject(refused(`zstd: ${words.trim() || `failed with ${code}`}`, full))
    })
  })
  ended.catch(() => undefined)
  return { ended, words: () => words.trim(), kill: () => void child.kill('SIGKILL') }
}
