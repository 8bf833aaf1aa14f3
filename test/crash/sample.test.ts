/** A sample of the sweep, one cell of each operation, by a printed seed: STRATA_CRASH_SEED repeats it. The whole is `npm run sweep`. */
import { afterAll, describe, expect, it } from 'vitest'
import { freshDatabaseUrl } from '../support/databases.js'
import { faultsOf, nameOf, runCell } from './cell.js'
import { again, chosenSeed, random } from './random.js'
import { SCENARIOS } from './scenarios.js'

const seed = chosenSeed()

describe(`any operation, struck by a fault anywhere (seed ${seed})`, () => {
  const next = random(seed)
  const operations = [...new Set(SCENARIOS.map((scenario) => scenario.operation))]
  const order = operations.flatMap((operation) => {
    const its = SCENARIOS.filter((scenario) => scenario.operation === operation)
    const scenario = its[Math.floor(next() * its.length)]
    return scenario === undefined ? [] : [{ scenario, pick: next() }]
  })

  it.each(order)('$scenario.name leaves disks, tables and guests agreeing', { timeout: 120_000 }, async ({ scenario, pick }) => {
    const faults = (await faultsOf(scenario)).filter((fault) => fault.kind !== 'none')
    const fault = faults[Math.floor(pick * faults.length)]
    if (fault === undefined) throw new Error('no fault can strike it')
    const { wrong } = await runCell(scenario, fault)
    expect(wrong, `again (seed ${seed}): ${again(scenario.name, nameOf(fault))}`).toEqual([])
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
  it.each(chosen)('$name survives being killed at its pivot', { timeout: 120_000 }, async (scenario) => {
    const step = { 'create-snapshot': 'switch-top-layers', 'merge-layer': 'move-data', 'create-server': 'launch-guest' }[scenario.operation]
    const place = await freshDatabaseUrl('mariadb')
    places.push(place)
    const fault = { kind: 'killed', gap: `${step ?? 'switch-top-layers'}:after-apply` } as const
    const { wrong, driven } = await runCell(scenario, fault, { url: place.url })
    expect(driven.gaps).toContain(fault.gap)
    expect(wrong).toEqual([])
  })
})
