/** One of the sweep's processes: takes a scenario at a time from its parent, runs its cells, and tells each verdict. */
import { faultsOf, nameOf, runCell } from './cell.js'
import { random } from './random.js'
import { SCENARIOS } from './scenarios.js'

export interface Task {
  readonly scenario: string
  readonly fault: string | undefined
  readonly kind: string | undefined
  /** Takes about each so many-th cell. */
  readonly every: number
  readonly seed: number
}

export interface Told {
  readonly scenario: string
  readonly kind: string
  readonly fault: string
  readonly verdict: 'ok' | 'wrong' | 'missed'
  readonly wrong: readonly string[]
}

async function* perform({ scenario: name, fault: only, kind, every, seed }: Task): AsyncGenerator<Told> {
  const scenario = SCENARIOS.find((one) => one.name === name)
  if (scenario === undefined) return
  const next = random(seed)
  for (const fault of await faultsOf(scenario)) {
    const taken = next() < 1 / every
    if (kind !== undefined && fault.kind !== kind) continue
    if (only === undefined ? !taken : nameOf(fault) !== only) continue
    const { wrong, driven } = await runCell(scenario, fault)
    const verdict = wrong.length > 0 ? 'wrong' : driven.struck || fault.kind === 'none' ? 'ok' : 'missed'
    yield { scenario: name, kind: fault.kind, fault: nameOf(fault), verdict, wrong }
  }
}

process.on('message', async (task: Task) => {
  try {
    for await (const told of perform(task)) process.send?.(told)
  } catch (error) {
    const wrong = [error instanceof Error ? error.message : String(error)]
    process.send?.({ scenario: task.scenario, kind: 'none', fault: 'none', verdict: 'wrong', wrong } satisfies Told)
  }
  process.send?.('next')
})
process.send?.('next')
