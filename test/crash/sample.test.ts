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

  const next = random(seed)
  const operations = [
    ...['create-snapshot', 'merge-layer', 'create-server', 'clone-volume', 'create-server-snapshot', 'delete-server-snapshots'],
    ...['revert-server', 'save-server', 'restore-server', 'pull-chain', 'commit-chain', 'copy-disk'],
  ]
  const chosen = operations.map((operation) => {
    // One that is refused from the start has no step with an effect.
    const its = SCENARIOS.filter((scenario) => scenario.operation === operation && scenario.ends !== 'failed')
    return { operation, scenario: its[Math.floor(next() * its.length)], pick: next() }
  })
  it.each(chosen)('$operation survives being killed after the effect of any step', { timeout: 120_000 }, async ({ scenario, pick }) => {
    if (scenario === undefined) throw new Error('nothing asks for it')
    const after = (await faultsOf(scenario)).filter((fault) => fault.kind === 'killed' && fault.gap.endsWith(':after-apply'))
    const fault = after[Math.floor(pick * after.length)]
    if (fault === undefined || !('gap' in fault)) throw new Error('it has no step with an effect')
    const place = await freshDatabaseUrl('mariadb')
    places.push(place)
    const { wrong, driven } = await runCell(scenario, fault, { url: place.url })
    expect(driven.gaps).toContain(fault.gap)
    expect(wrong, `again (seed ${seed}): ${scenario.name}, ${nameOf(fault)}`).toEqual([])
  })
})
