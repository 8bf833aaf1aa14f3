/** A state directory with room for keepers and agents; `end` leaves no process and no file behind. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ownKeeperCommand } from '../../src/keeper/start.js'

export interface KeeperPlace {
  readonly stateDir: string
  readonly command: readonly string[]
  runPathOf(serverId: string): string
  /** Of the running keeper. */
  pid(): number | undefined
  log(): { event: string; server?: string; why?: string }[]
  end(): void
}

export function makeKeeperPlace(): KeeperPlace {
  const stateDir = mkdtempSync(join(tmpdir(), 'kp-'))
  const home = join(stateDir, 'keeper')
  const pid = (): number | undefined => {
    try {
      return Number(readFileSync(join(home, 'keeper.pid'), 'utf8'))
    } catch {
      return undefined
    }
  }
  return {
    stateDir,
    command: ownKeeperCommand(),
    runPathOf(serverId) {
      const path = join(stateDir, 'run', serverId)
      mkdirSync(path, { recursive: true })
      return path
    },
    pid,
    log: () =>
      readFileSync(join(home, 'keeper.log'), 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line)),
    end() {
      const left = pid()
      if (left !== undefined && readCommandLine(left).includes(stateDir)) process.kill(left, 'SIGKILL')
      rmSync(stateDir, { recursive: true, force: true })
    },
  }
}

function readCommandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
