/**
 * Two places for real guests on the whole machine, whoever starts them: a test by hand, or a service under test. A place is
 * a file lock held by a process, so the kernel frees it however its holder ends; a third guest waits until one is free.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from './until.js'

const PLACES = 2
const TAKEN = 75

/** Runs the program in a place: it, and nothing else, holds it. `comm` is its name as the kernel shows it. */
export async function startInPlace(program: readonly string[], comm: string): Promise<ChildProcess> {
  for (let place = 0; ; place = (place + 1) % PLACES) {
    const lock = join(tmpdir(), `strata-test-guest-${place}.lock`)
    const command = ['--nonblock', '--conflict-exit-code', String(TAKEN), '--no-fork', lock, ...program]
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'flock', ...command], { stdio: ['ignore', 'ignore', 'inherit'] })
    const code = await Promise.race([
      new Promise<number | null>((resolve) => child.once('exit', resolve)),
      until(() => readFileSync(`/proc/${child.pid}/comm`, 'utf8').startsWith(comm) || child.exitCode !== null, {
        what: `${comm} to start`,
      }).then(
        () => undefined,
        () => undefined,
      ),
    ])
    if (code === undefined && child.exitCode === null) return child
    if (child.exitCode !== TAKEN) throw new Error(`${program[0]} ended with ${child.exitCode}`)
    if (place === PLACES - 1) await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const held = new Map<string, Promise<ChildProcess>>()

/** For the guest of a service under test, which is started elsewhere: one at a time for each state directory. */
export async function holdPlaceFor(stateDir: string): Promise<void> {
  const holder = held.get(stateDir) ?? startInPlace(['sleep', 'infinity'], 'sleep')
  held.set(stateDir, holder)
  await holder
}

/** Once its guests are gone. */
export async function leavePlaceOf(stateDir: string): Promise<void> {
  const holder = await held.get(stateDir)
  held.delete(stateDir)
  holder?.kill('SIGKILL')
}
