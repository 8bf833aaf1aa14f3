/**
 * The one way to run an outside program. No shell; a small, fixed environment; it dies with us even when we are
 * killed (a tool that outlives its worker would go on writing while recovery probes); bounded output; an abort
 * signal kills it and waits until it is gone.
 *
 * Outcomes: exit code other than 0 is refused (code = the exit code), no such program is unavailable, killed or
 * stopped is unknown.
 */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { refused, unavailable, unknown } from '../domain/errors.js'

export interface ToolRun {
  readonly program: string
  readonly args: readonly string[]
  readonly signal?: AbortSignal
  readonly limits?: { readonly addressSpace: number; readonly cpuSeconds: number; readonly wallMillis: number }
  /** Called with pieces of standard output as they come; they are then not collected. */
  readonly onOutput?: (text: string) => void
}

const OUTPUT_LIMIT = 4 * 1024 * 1024
const ERROR_TAIL = 4096
const SEARCH_PATH = [...new Set([...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/bin', '/sbin', '/bin'])].filter(
  Boolean,
)

export async function runTool(run: ToolRun): Promise<string> {
  if (run.signal?.aborted) throw unavailable(`${run.program} was not started: stopped`, { cause: run.signal.reason })
  // Looked up here, since behind setpriv a missing program looks like one that failed.
  if (findProgram(run.program) === undefined) throw unavailable(`${run.program} is not installed`, { reason: 'program-missing' })
  const [command = '', ...args] = [...deathNote(), ...bounds(run.limits), run.program, ...run.args]
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: SEARCH_PATH.join(delimiter), LC_ALL: 'C' },
  })
  let output = ''
  let errors = ''
  let stoppedBy: string | undefined
  const stop = (reason: string): void => {
    stoppedBy ??= reason
    child.kill('SIGKILL')
  }
  const onAbort = (): void => stop('stopped')
  run.signal?.addEventListener('abort', onAbort, { once: true })
  const timer = run.limits === undefined ? undefined : setTimeout(() => stop('took too long'), run.limits.wallMillis)
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (run.onOutput !== undefined) return run.onOutput(text)
    output += text
    if (output.length > OUTPUT_LIMIT) stop('said too much')
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-ERROR_TAIL)
  })
  try {
    const { code, signal } = await new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve({ code, signal }))
    })
    if (stoppedBy !== undefined) throw unknown(`${run.program}: ${stoppedBy}`, { cause: run.signal?.reason })
    if (signal !== null) throw unknown(`${run.program} was killed by ${signal}`, { code: signal })
    if (code !== 0) throw refused(`${run.program} ${run.args[0] ?? ''}: ${errors.trim() || 'failed'}`, { code: String(code) })
    return output
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall?.startsWith('spawn')) throw unavailable(`cannot start ${command}`, { cause: error })
    throw error
  } finally {
    clearTimeout(timer)
    run.signal?.removeEventListener('abort', onAbort)
  }
}

let setpriv: string | undefined | null = null

/** Words before a command that make the kernel end it when this process ends. */
export function deathNote(): string[] {
  if (setpriv === null) setpriv = findProgram('setpriv')
  return setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'KILL', '--']
}

export function findProgram(name: string): string | undefined {
  const places = name.includes('/') ? [name] : SEARCH_PATH.map((directory) => join(directory, name))
  return places.find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function bounds(limits: ToolRun['limits']): string[] {
  if (limits === undefined) return []
  return ['prlimit', `--as=${limits.addressSpace}`, `--cpu=${limits.cpuSeconds}`, '--core=0', '--']
}
