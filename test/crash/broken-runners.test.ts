/** The harness is worth what it catches: engines broken in one law each must be found out by it. */
import { describe, expect, it } from 'vitest'
import type { Database, Stores } from '../../src/ports/stores.js'
import type { Plan } from '../../src/steps/step.js'
import type { Tools } from '../../src/steps/tools.js'
import { runCell } from './cell.js'
import type { Drive, Fault } from './engine.js'
import { SCENARIOS } from './scenarios.js'

/** Law 3 broken: `started` is never committed. */
const noWriteAhead = (db: Database): Database => ({
  ...db,
  transaction: async (work) =>
    await db.transaction((stores) => {
      const journal: Stores['jobs']['journal'] = async (lease, entries) =>
        await stores.jobs.journal(
          lease,
          entries.filter((entry) => entry.state !== 'started'),
        )
      return work({ ...stores, jobs: { ...stores.jobs, journal } })
    }),
})

/** Law 5 broken: only what was completed is undone. */
function undoCompletedOnly(plan: Plan<object, Tools>): Plan<object, Tools> {
  const prepare = plan.prepare.map((step) => {
    let completed = false
    return {
      ...step,
      apply: async (input: object, tools: Tools) => {
        await step.apply(input, tools)
        completed = true
      },
      undo: async (input: object, tools: Tools) => {
        if (completed) await step.undo(input, tools)
      },
    }
  })
  return { ...plan, prepare }
}

/** Law 4 broken: nobody looks. */
function noProbe(plan: Plan<object, Tools>): Plan<object, Tools> {
  const blind = async () => 'absent' as const
  const pivot = plan.pivot === undefined ? {} : { pivot: { ...plan.pivot, probe: blind } }
  return { ...plan, ...pivot, prepare: plan.prepare.map((step) => ({ ...step, probe: blind })) }
}

const live = SCENARIOS.filter(({ name }) => ['create-snapshot, live', 'create-server, on an image'].includes(name))

async function caught(fault: Fault, broken: Partial<Drive>): Promise<string[]> {
  const verdicts = []
  for (const scenario of live) verdicts.push(...(await runCell(scenario, fault, broken)).wrong)
  return verdicts
}

describe('the crash harness', { timeout: 120_000 }, () => {
  const killed: Fault = { kind: 'killed', gap: 'create-layers:after-apply', cancelled: true }
  const switched: Fault = { kind: 'killed', gap: 'switch-top-layers:after-apply' }

  it('finds nothing wrong with the runner as it is', async () => {
    expect(await caught(killed, {})).toEqual([])
    expect(await caught(switched, {})).toEqual([])
  })

  it('catches a runner that does not write ahead', async () => {
    expect(await caught(killed, { wrapDb: noWriteAhead })).not.toEqual([])
  })

  it('catches a runner that undoes only completed steps', async () => {
    expect(await caught(killed, { wrapPlan: undoCompletedOnly })).not.toEqual([])
  })

  it('catches a runner that does not probe', async () => {
    expect(await caught(switched, { wrapPlan: noProbe })).not.toEqual([])
  })
})
