/**
 * What this host must have before work begins, looked at once and said in sentences. `refusals` keep the service from
 * starting; `warnings` are for the log. QEMU's version is asked only of workers, and never in the way of the start.
 */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, stat, statfs } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

const TOOLS: readonly (readonly [string, string])[] = [
  ['qemu-system-x86_64', 'qemu-system-x86'],
  ['qemu-img', 'qemu-utils'],
  ['qemu-storage-daemon', 'qemu-system-common'],
  ['setpriv', 'util-linux'],
  ['zstd', 'zstd'],
]
const LOW_SPACE = 2 * 2 ** 30
const LEAST_SPACE = 64 * 2 ** 20
/** A network file system whose server is gone would keep us for ever. */
const ANSWER_MS = 10_000
const OLDEST_QEMU = [7, 2] as const

export interface Findings {
  readonly refusals: readonly string[]
  readonly warnings: readonly string[]
}

interface Places {
  readonly stateDir: string
  readonly pools: readonly { readonly name: string; readonly path: string }[]
}

const named = ({ stateDir, pools }: Places): (readonly [string, string])[] => [
  [stateDir, 'the state directory'],
  ...pools.map((pool) => [pool.path, `the pool ${pool.name}`] as const),
]

/** Asked before anything is made: directories on what only looks like a file system (/proc, /sys) cannot be. */
export async function unfitPlaces(places: Places): Promise<string[]> {
  const found = await Promise.all(
    named(places).map(async ([path, what]) => {
      const silent = sleep(ANSWER_MS, `${what} ${path} is on a file system that does not answer`, { ref: false })
      const wrong = await Promise.race([whyUnfit(path), silent])
      return wrong === undefined ? [] : [wrong.replace('%', `${what} ${path}`)]
    }),
  )
  return [...new Set(found.flat())]
}

async function whyUnfit(path: string): Promise<string | undefined> {
  let nearest = path
  while ((await stat(nearest).catch(missing)) === undefined && dirname(nearest) !== nearest) nearest = dirname(nearest)
  const found = await stat(nearest).catch(missing)
  if (found?.isDirectory() !== true) return `% cannot be: ${nearest} is no directory`
  return (await statfs(nearest)).blocks === 0 ? '% is on a file system that cannot hold files' : undefined
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error
}

export async function preflight(options: Places & { readonly worker: boolean }): Promise<Findings> {
  const refusals: string[] = []
  const warnings: string[] = []
  for (const [path, what] of named(options)) {
    if (!(await usable(path, constants.R_OK | constants.W_OK | constants.X_OK)))
      refusals.push(`${what} ${path} cannot be written by this user`)
    const free = await freeBytes(path)
    const mib = Math.round(free / 2 ** 20)
    if (free < LEAST_SPACE) refusals.push(`${what} ${path} has only ${mib} MiB free`)
    else if (free < LOW_SPACE) warnings.push(`${what} ${path} has only ${mib} MiB free`)
  }
  if (options.worker) {
    const missing: string[] = []
    for (const [tool, debian] of TOOLS) if ((await findTool(tool)) === undefined) missing.push(`${tool} (Debian package ${debian})`)
    if (missing.length > 0)
      refusals.push(`these programs are needed and were not found: ${missing.join(', ')}; deploy/setup.sh installs them`)
  }
  return { refusals: [...new Set(refusals)], warnings: [...new Set(warnings)] }
}

/** A sentence when QEMU is older than what we are tested with; undefined when it is fine. */
export async function oldQemu(): Promise<string | undefined> {
  const { stdout } = await run('qemu-system-x86_64', ['--version'], { timeout: 10_000 }).catch(() => ({ stdout: '' }))
  const [, major, minor] = /version (\d+)\.(\d+)/.exec(stdout) ?? []
  if (major === undefined) return 'qemu-system-x86_64 does not say its version'
  const [a, b] = [Number(major), Number(minor)]
  return a > OLDEST_QEMU[0] || (a === OLDEST_QEMU[0] && b >= OLDEST_QEMU[1])
    ? undefined
    : `QEMU ${a}.${b} is older than ${OLDEST_QEMU.join('.')}, the oldest this service was tested with`
}

async function findTool(name: string): Promise<string | undefined> {
  for (const directory of (process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin').split(delimiter)) {
    const path = join(directory, name)
    if (directory !== '' && (await usable(path, constants.X_OK))) return path
  }
  return undefined
}

const usable = async (path: string, mode: number): Promise<boolean> =>
  await access(path, mode).then(
    () => true,
    () => false,
  )

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}
