/**
 * How often the same layer is asked to go. A merge that was put off (a full pool, a layer above it that is busy) ends at
 * once and holds nothing; asked for again at every sweep it would only spin. So the time between doubles, up to an hour,
 * and there is no waiting once the pool has more room than at the last time.
 */
import { secondsToMicros } from '../domain/time.js'
import type { Clock } from '../ports/clock.js'

const FIRST = secondsToMicros(60)
const LONGEST = secondsToMicros(3600)
/** Less comes and goes with every write. */
const MORE_ROOM = 64 * 1024 * 1024

interface Asked {
  readonly poolId: string
  readonly at: number
  readonly wait: number
  readonly free: number
}

export function createAskedBefore(clock: Pick<Clock, 'monotonic'>) {
  const known = new Map<string, Asked>()
  return {
    isTimeFor(layerId: string, free: number): boolean {
      const last = known.get(layerId)
      return last === undefined || free >= last.free + MORE_ROOM || clock.monotonic() - last.at >= last.wait
    },
    remember(poolId: string, layerId: string, free: number): void {
      const last = known.get(layerId)
      known.set(layerId, { poolId, at: clock.monotonic(), wait: last === undefined ? FIRST : Math.min(LONGEST, 2 * last.wait), free })
    },
    keepOnly(poolId: string, layerIds: readonly string[]): void {
      const still = new Set(layerIds)
      for (const [id, one] of known) if (one.poolId === poolId && !still.has(id)) known.delete(id)
    },
  }
}
