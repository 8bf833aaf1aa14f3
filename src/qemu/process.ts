/**
 * Long-lived processes of ours, known beyond doubt across restarts: by pid, start time (field 22 of
 * /proc/<pid>/stat) and a path of ours in the command line. A recycled pid is never taken for ours, a zombie
 * counts as gone. Beside `<name>.pid` (the number alone, for people) lies `<name>.start`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { refused, unknown } from '../domain/errors.js'
import type { Reason } from '../domain/reasons.js'
import { QmpSession } from './qmp/session.js'

export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks since boot, as text. */
  readonly startTime: string
}

export interface StartOptions {
  readonly command: string
  readonly args: readonly string[]
  /** Receives what it says on stdout and stderr. */
  readonly logPath: string
  /** Path without `.pid`. */
  readonly record: string
}

export interface Started {
  readonly identity: ProcessIdentity
  hasExited(): boolean
}

/** Starts a process in its own session and records it before anything else can happen. */
export async function startProcess(options: StartOptions): Promise<Started> {
  const log = openSync(options.logPath, 'w', 0o600)
  let child: ChildProcess
  try {
    // A lean environment: our own may hold secrets, and a process list shows it.
    const env = { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' }
    child = spawn(options.command, [...options.args], { detached: true, stdio: ['ignore', log, log], cwd: '/', env })
  } finally {
    closeSync(log)
  }
  let exited = false
  child.on('exit', () => {
    exited = true
  })
  child.unref()
  const failure = new Promise<Error>((resolve) => child.on('error', resolve))
  if (child.pid === undefined) throw refused(`${options.command} cannot be started`, { cause: await failure, reason: 'qemu-start' })
  const startTime = await startTimeOf(child.pid)
  const identity = { pid: child.pid, startTime: startTime ?? '0' }
  try {
    writeFileSync(`${options.record}.start`, `${identity.startTime}\n`, { mode: 0o600 })
    writeFileSync(`${options.record}.pid`, `${identity.pid}\n`, { mode: 0o600 })
  } catch (error) {
    // Nobody would ever find it.
    await killProcess(identity)
    throw error
  }
  return { identity, hasExited: () => exited }
}

/** The recorded process, if it lives and is ours. `marker` is a path only its command line holds. */
export async function findProcess(record: string, marker: string): Promise<ProcessIdentity | undefined> {
  const [pid, startTime] = await Promise.all([readText(`${record}.pid`), readText(`${record}.start`)])
  if (pid === undefined || startTime === undefined || !/^\d+$/.test(pid)) return undefined
  const identity = { pid: Number(pid), startTime }
  if ((await startTimeOf(identity.pid)) !== startTime) return undefined
  return (await commandLine(identity.pid)).some((argument) => argument.includes(marker)) ? identity : undefined
}

/** Looks through all processes for `marker`: for one started by a worker that died before it could record it. */
export async function searchProcess(record: string, marker: string): Promise<ProcessIdentity | undefined> {
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    if (!(await commandLine(Number(entry))).some((argument) => argument.includes(marker))) continue
    const startTime = await startTimeOf(Number(entry))
    if (startTime === undefined) continue
    writeFileSync(`${record}.start`, `${startTime}\n`, { mode: 0o600 })
    writeFileSync(`${record}.pid`, `${entry}\n`, { mode: 0o600 })
    return { pid: Number(entry), startTime }
  }
  return undefined
}

export async function forgetProcess(record: string): Promise<void> {
  await rm(`${record}.start`, { force: true })
  await rm(`${record}.pid`, { force: true })
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await startTimeOf(identity.pid)) === identity.startTime
}

/** False: it still lives after `timeoutMs`. */
export async function waitUntilGone(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  for (let pause = 1; await isAlive(identity); pause = Math.min(50, pause * 2)) {
    if (Date.now() >= deadline) return false
    await sleep(pause)
  }
  return true
}

export async function killProcess(identity: ProcessIdentity): Promise<void> {
  if (!(await isAlive(identity))) return
  try {
    process.kill(identity.pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
  if (!(await waitUntilGone(identity, 20_000))) throw unknown(`process ${identity.pid} does not die`)
}

/** A session with a process that has just been started. Refused, and the process ended, when it does not get that far. */
export async function awaitMonitor(started: Started, socketPath: string, logPath: string, timeoutMs: number): Promise<QmpSession> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const session = new QmpSession({ path: socketPath, connectTimeoutMs: Math.max(1, deadline - Date.now()) })
    try {
      await session.connect()
      return session
    } catch (cause) {
      if (!started.hasExited() && Date.now() < deadline) {
        await sleep(2)
        continue
      }
      const what = started.hasExited() ? 'it ended before its monitor answered' : `its monitor did not answer within ${timeoutMs} ms`
      await killProcess(started.identity)
      const words = await wordsOf(logPath)
      throw refused(`${what}: ${words || 'without a word'}`, { cause, reason: reasonOf(words) })
    }
  }
}

/** QEMU has no other way to say why it ended. Nothing is decided by this: it only chooses the sentence for the user. */
function reasonOf(words: string): Reason {
  if (/cannot set up guest memory|Cannot allocate memory/.test(words)) return 'qemu-memory'
  if (/Failed to get "?(write|shared|consistent read)"? ?.*lock|Is another process using the image/.test(words)) return 'qemu-lock'
  return /\/dev\/kvm|failed to initialize kvm|invalid accelerator/i.test(words) ? 'qemu-accelerator' : 'qemu-start'
}

/** The end of what it said, without QEMU's note that it waits for its first client. */
async function wordsOf(logPath: string): Promise<string> {
  const lines = ((await readText(logPath)) ?? '').split('\n')
  return lines
    .filter((line) => !line.includes('info: QEMU waiting for connection'))
    .join('\n')
    .slice(-2_000)
}

/** Undefined for no such process, and for a zombie. */
async function startTimeOf(pid: number): Promise<string | undefined> {
  const stat = await readText(`/proc/${pid}/stat`)
  if (stat === undefined) return undefined
  // The name in field 2 may hold anything, also spaces and parentheses: count from its end.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

async function commandLine(pid: number): Promise<string[]> {
  return ((await readText(`/proc/${pid}/cmdline`)) ?? '').split('\0')
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return undefined
    throw error
  }
}
