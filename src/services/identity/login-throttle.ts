/** Counts wrong passwords per key within a window. Bounded: of too many keys the oldest are forgotten. */
export interface Throttle {
  isSpent(key: string): boolean
  count(key: string): void
  forget(key: string): void
}

export function createThrottle(options: { limit: number; windowMs: number; keys?: number; now?: () => number }): Throttle {
  const { limit, windowMs, keys = 10_000, now = () => performance.now() } = options
  const seen = new Map<string, { count: number; until: number }>()

  const current = (key: string): { count: number; until: number } | undefined => {
    const entry = seen.get(key)
    if (entry && entry.until <= now()) seen.delete(key)
    return seen.get(key)
  }
  return {
    isSpent: (key) => (current(key)?.count ?? 0) >= limit,
    count(key) {
      const entry = current(key) ?? { count: 0, until: now() + windowMs }
      entry.count += 1
      seen.set(key, entry)
      if (seen.size > keys)
        for (const oldest of seen.keys()) {
          seen.delete(oldest)
          break
        }
    },
    forget: (key) => void seen.delete(key),
  }
}
