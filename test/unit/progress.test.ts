/** Whether a long job comes closer to its end, and in what time it will be there. */
import { expect, it } from 'vitest'
import { jobView } from '../../api/views/strata/strata.js'
import type { Job, JobProgress } from '../../src/domain/job.js'
import { createProgress } from '../../src/worker/progress.js'

const MIB = 1024 ** 2

/** So many seconds, in each of which it does so much, and its guest adds so much. */
function after(seconds: number, done: number, added: number, total = 1000 * MIB): JobProgress {
  let now = 0
  const seen: JobProgress[] = []
  const clock = { now: () => now, monotonic: () => now, sleep: async () => {} }
  const report = createProgress(clock, (progress) => seen.push(progress))
  for (let second = 0; second <= seconds; second++, now += 1_000_000)
    report({ bytesDone: second * done, bytesTotal: total + second * added })
  return seen.at(-1) as JobProgress
}
const view = (progress: JobProgress) => jobView({ progress, endedAt: null, createdAt: 0, startedAt: null } as unknown as Job).progress

it('tells the rates, and the time that is left at them', () => {
  const steady = after(10, 10 * MIB, 0)
  expect(steady).toMatchObject({ rate: 10 * MIB, bytesDone: 100 * MIB })
  expect(steady.dirtyRate).toBeUndefined()
  expect(view(steady)).toMatchObject({ seconds_left: 90, converging: true, bytes_dirtied_per_second: 0 })
  const dirtied = after(10, 10 * MIB, 4 * MIB)
  expect(dirtied).toMatchObject({ rate: 10 * MIB, dirtyRate: 4 * MIB })
  expect(view(dirtied)?.seconds_left).toBeCloseTo((1000 - 60) / 6, 0)
})

it('says after half a minute, and before one, that the guest writes as fast as is copied', () => {
  expect(after(29, 10 * MIB, 10 * MIB).stalledSince).toBeUndefined()
  const stalled = after(40, 10 * MIB, 10 * MIB)
  expect(stalled.stalledSince).toBe(0)
  expect(view(stalled)).toMatchObject({ converging: false, seconds_left: null })
})

it('says it of one that does nothing at all, and of none that is nearly there', () => {
  expect(after(40, 0, 0).stalledSince).toBe(0)
  expect(after(100, 10 * MIB, 0, 300 * MIB).stalledSince).toBeUndefined()
})
