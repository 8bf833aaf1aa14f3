/**
 * A pool that is full from the start of a step until its job has failed or was tried a few times: nothing is lost or left,
 * and what had to wait is done once there is room. A sample by a printed seed; `npm run sweep -- --kind=disk-full` runs all.
 */
import { describe, expect, it } from 'vitest'
import { runInLane } from './lanes.js'
import { chosenSeed, random } from './random.js'
import { SCENARIOS } from './scenarios.js'

const seed = chosenSeed()
const WITH_FILES = SCENARIOS.map(({ name }) => name).filter((name) =>
  /^(create|clone|capture|export|import|merge|attach|pull|commit|copy)-/.test(name),
)
const next = random(seed)
const SOME = WITH_FILES.toSorted(() => next() - 0.5).slice(0, 3)

describe(`a full pool (seed ${seed})`, { timeout: 120_000 }, () => {
  it.each(SOME)('costs nothing in %s', async (scenario) => {
    const told = await runInLane({ scenario, fault: undefined, kind: 'disk-full', every: 4, seed })
    expect(told.flatMap(({ fault, wrong }) => wrong.map((one) => `${fault}: ${one}`))).toEqual([])
  })

  it('does not leave a layer halfway between its children', async () => {
    const fault = 'disk-full at move-data:before-apply, 0 bytes left'
    const told = await runInLane({ scenario: 'merge-layer, into each of two, offline', fault, kind: undefined, every: 1, seed })
    expect(told).toMatchObject([{ verdict: 'ok', wrong: [] }])
  })
})
