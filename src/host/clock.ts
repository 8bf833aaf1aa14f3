import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../ports/clock.js'

export const systemClock: Clock = {
  now: () => Date.now() * 1000,
  monotonic: () => Math.round(performance.now() * 1000),
  sleep: async (millis, signal) => await sleep(millis, undefined, signal === undefined ? {} : { signal }),
}
