/** mulberry32: small, and the same everywhere, so that a seed repeats a run. */
export function random(seed: number): () => number {
  let at = seed
  return () => {
    at = (at + 0x6d2b79f5) | 0
    let t = Math.imul(at ^ (at >>> 15), 1 | at)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export const chosenSeed = (): number => Number(process.env['STRATA_CRASH_SEED'] ?? Date.now() % 1_000_000)

/** Runs this one cell again. */
export const again = (scenario: string, fault: string): string => `npm run sweep -- '${scenario}' '--fault=${fault}'`
