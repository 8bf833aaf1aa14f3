/** Progress of a long step: an exponentially weighted rate, written at most once a second. */
import type { JobProgress } from '../domain/job.js'
import { secondsToMicros } from '../domain/time.js'
import type { Clock } from '../ports/clock.js'

const EVERY = secondsToMicros(1)
const WEIGHT = 0.3

export function createProgress(
  clock: Clock,
  write: (progress: JobProgress) => void,
): (now: Omit<JobProgress, 'updatedAt' | 'rate'>) => void {
  let last: { at: number; bytes: number } | undefined
  let rate = 0
  return ({ bytesDone, bytesTotal }) => {
    const at = clock.monotonic()
    if (last !== undefined && at - last.at < EVERY) return
    if (last !== undefined) {
      const current = Math.max(0, ((bytesDone - last.bytes) * 1_000_000) / (at - last.at))
      rate = rate === 0 ? current : WEIGHT * current + (1 - WEIGHT) * rate
    }
    last = { at, bytes: bytesDone }
    write({ bytesDone, bytesTotal, rate: Math.round(rate), updatedAt: clock.now() })
  }
}
