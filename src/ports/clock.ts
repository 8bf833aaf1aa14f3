import type { Micros } from '../domain/time.js'

export interface Clock {
  /** Wall clock, UTC. For records only, never for order. */
  now(): Micros
  /** Monotonic, for durations. */
  monotonic(): Micros
  sleep(millis: number, signal?: AbortSignal): Promise<void>
}
