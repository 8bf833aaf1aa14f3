/** A sample of the sweep, by a printed seed: STRATA_CRASH_SEED repeats it. The whole is `npm run sweep`. */
import { afterAll, describe, expect, it } from 'vitest'
import { freshDatabaseUrl } from '../support/databases.js'
import { faultsOf, nameOf, runCell } from './cell.js'
import { SCENARIOS } from './scenarios.js'

const seed = Number(process.env['STRATA_CRASH_SEED'] ?? Date.now() % 1_000_000)
const PER_SCENARIO = 2

/** mulberry32: small, and the same everywhere. */
function random(state: number): () => number {
  let at = state
  return () => {
    at = (at + 0x6d2b79f5) | 0
    let t = Math.imul(at ^ (at >>> 15), 1 | at)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

describe(`any operation, struck by a fault anywhere (seed ${seed})`, () => {
  const next = random(seed)
  const order = SCENARIOS.map((scenario) => ({ scenario, picks: Array.from({ length: PER_SCENARIO }, next) }))

  it.each(order)('$scenario.name leaves disks, tables and guests agreeing', { timeout: 60_000 }, async ({ scenario, picks }) => {
    const faults = await faultsOf(scenario)
    for (const pick of picks) {
      const fault = faults[Math.floor(pick * faults.length)] ?? { kind: 'none' }
      const { wrong } = await runCell(scenario, fault)
      expect(wrong, `${scenario.name}: ${nameOf(fault)} (seed ${seed})`).toEqual([])
    }
  })
})

describe('the same on MariaDB', () => {
  const places: { drop(): Promise<void> }[] = []
  afterAll(async () => {
    for (const place of places) await place.drop()
  })

  const chosen = SCENARIOS.filter(({ name }) =>
    /^(create-snapshot, live|merge-layer, live, committed|create-server|clone-volume)/.test(name),
  )
  it.each(chosen)('$name survives being killed at its pivot', { timeout: 60_000 }, async (scenario) => {
    const step = { 'create-snapshot': 'switch-top-layers', 'merge-layer': 'move-data', 'create-server': 'launch-guest' }[scenario.operation]
    const place = await freshDatabaseUrl('mariadb')
    places.push(place)
    const fault = { kind: 'killed', gap: `${step ?? 'switch-top-layers'}:after-apply` } as const
    const { wrong, driven } = await runCell(scenario, fault, { url: place.url })
    expect(driven.gaps).toContain(fault.gap)
    expect(wrong).toEqual([])
  })
})
