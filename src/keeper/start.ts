/**
 * Starting the keeper: detached, in a session of its own, at most one per state directory. The kernel's lock, taken by
 * flock(1) and inherited by the keeper, decides between two that start at once and is free again when it dies.
 */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, statSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAX_LOG = 1024 * 1024

/** Node on this program's own keeper; from TypeScript source through tsx, from what is built as it is. */
export function ownKeeperCommand(): string[] {
  const here = fileURLToPath(import.meta.url)
  const extension = extname(here)
  // Bundled, this is a part of a file one directory further up.
  const main = join(dirname(here), basename(dirname(here)) === 'keeper' ? '.' : 'keeper', `main${extension}`)
  const loader = extension === '.ts' ? ['--import', 'tsx'] : []
  return [process.execPath, '--max-old-space-size=32', '--max-semi-space-size=1', ...loader, main]
}

/** Returns at once; the keeper is there when its socket answers. Where one runs already, nothing happens. */
export function startKeeper(stateDir: string, command: readonly string[]): void {
  const home = join(stateDir, 'keeper')
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const logPath = join(home, 'keeper.log')
  const full = (statSync(logPath, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG
  const log = openSync(logPath, full ? 'w' : 'a', 0o600)
  try {
    const lock = join(home, 'keeper.lock')
    const child = spawn('flock', ['--nonblock', '--no-fork', lock, ...command, stateDir], {
      cwd: dirname(fileURLToPath(import.meta.url)),
      detached: true,
      stdio: ['ignore', log, log],
    })
    child.on('error', () => {})
    child.unref()
  } finally {
    closeSync(log)
  }
}
