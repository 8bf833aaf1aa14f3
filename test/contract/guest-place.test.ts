/** The machine's two places for real guests: no third is started, by whichever way, and a place is free when its guest is gone. */
import { type ChildProcess, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { holdPlaceFor, leavePlaceOf, startInPlace } from '../support/guest-place.js'
import { until } from '../support/until.js'

it('are two, shared by guests of services and guests started by hand', { timeout: 120_000 }, async () => {
  const service = mkdtempSync('/tmp/strata-place-')
  const holders: ChildProcess[] = []
  try {
    await holdPlaceFor(service)
    // The same service asks again: it has its place.
    await holdPlaceFor(service)
    const byHand = await startInPlace(['sleep', 'infinity'], 'sleep')
    holders.push(byHand)
    let third: ChildProcess | undefined
    const waiting = startInPlace(['sleep', 'infinity'], 'sleep').then((child) => {
      third = child
      holders.push(child)
    })
    const isFree = (place: number): boolean => {
      try {
        execFileSync('flock', ['--nonblock', join(tmpdir(), `strata-test-guest-${place}.lock`), 'true'], { stdio: 'ignore' })
        return true
      } catch {
        return false
      }
    }
    expect([0, 1].filter(isFree)).toEqual([])
    expect(third).toBeUndefined()
    await leavePlaceOf(service)
    await until(() => third !== undefined, { what: 'the third to get the place', timeoutMs: 60_000 })
    await waiting
  } finally {
    await leavePlaceOf(service)
    for (const holder of holders) holder.kill('SIGKILL')
    rmSync(service, { recursive: true, force: true })
  }
})
