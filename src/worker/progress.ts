/**
 * Progress of a long step: weighted rates, written at most once a second, and whether it comes closer to its end at all.
 * A disk that is copied while its guest writes has its work grow meanwhile; where it grows as fast as it is done there is
 * no end to wait for, and that is said.
 */
import type { JobProgress } from '../domain/job.js'
import { secondsToMicros } from '../domain/time.js'
import type { Clock } from '../ports/clock.js'
import type { JobSignals } from '../steps/tools.js'

const EVERY = secondsToMicros(1)
const WEIGHT = 0.3
/** So long without getting closer is not for chance. */
const PATIENCE = secondsToMicros(30)
/** What is left must shrink by this part of it to count. */
const CLOSER = 0.01

export function createProgress(clock: Clock, write: (progress: JobProgress) => void): JobSignals['report'] {
  let last: { at: number; done: number; total: number } | undefined
  let closest: { left: number; at: number } | undefined
  let [rate, dirtyRate] = [0, 0]
  const weigh = (before: number, now: number): number => (before === 0 ? now : WEIGHT * now + (1 - WEIGHT) * before)
  return ({ bytesDone, bytesTotal }) => {
    const at = clock.monotonic()
    if (last !== undefined && at - last.at < EVERY) return
    if (last !== undefined) {
      const perSecond = (bytes: number): number => Math.max(0, (bytes * 1_000_000) / (at - (last?.at ?? 0)))
      rate = weigh(rate, perSecond(bytesDone - last.done))
      dirtyRate = weigh(dirtyRate, perSecond(bytesTotal - last.total))
    }
    last = { at, done: bytesDone, total: bytesTotal }
    const left = Math.max(0, bytesTotal - bytesDone)
    if (closest === undefined || left < closest.left * (1 - CLOSER)) closest = { left, at }
    const stalledFor = left === 0 ? 0 : at - closest.at
    write({
      bytesDone,
      bytesTotal,
      rate: Math.round(rate),
      ...(dirtyRate >= 1 ? { dirtyRate: Math.round(dirtyRate) } : {}),
      ...(stalledFor >= PATIENCE ? { stalledSince: clock.now() - stalledFor } : {}),
      updatedAt: clock.now(),
    })
  }
}
