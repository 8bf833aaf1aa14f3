/**
 * `npm run sweep`: every operation, every fault, in as many processes as there are cores; a table at the end, exit code 1
 * when a cell is wrong. Words given pick scenarios, `--fault=<name>` one fault, `--kind=<name>` one kind. STRATA_SWEEP_EVERY=5 takes about each
 * fifth cell, by a seed that is printed and set with STRATA_CRASH_SEED.
 */
import { availableParallelism } from 'node:os'
import { forkLane } from './lanes.js'
import { again, chosenSeed } from './random.js'
import { SCENARIOS } from './scenarios.js'
import type { Task, Told } from './sweep-lane.js'

const words = process.argv.slice(2).filter((one) => !one.startsWith('--'))
const option = (name: string): string | undefined => process.argv.find((one) => one.startsWith(`--${name}=`))?.slice(name.length + 3)
const fault = option('fault')
const kind = option('kind')
const every = Number(process.env['STRATA_SWEEP_EVERY'] ?? 1)
const seed = chosenSeed()
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const began = Date.now()
const isPicked = (name: string): boolean =>
  words.length === 0 || words.includes(name) || (!SCENARIOS.some((one) => words.includes(one.name)) && words.some((w) => name.includes(w)))
const queue = SCENARIOS.map((one) => one.name).filter(isPicked)
const told: Told[] = []

say(`sweep of ${queue.length} scenarios, seed ${seed}${every === 1 ? '' : `, about one cell in ${every}`}`)
const crew = Array.from({ length: Math.min(queue.length, Math.max(1, availableParallelism())) }, lane)
await Promise.all(crew)
table()
for (const name of queue) say(`  LEFT OUT  ${name}: no process was left to run it`)
const bad = count('wrong')
const seconds = ((Date.now() - began) / 1000).toFixed(0)
say(`${told.length} cells: ${count('ok')} ok, ${bad} wrong, ${count('missed')} not applicable; seed ${seed}, ${seconds} s`)
process.exitCode = bad === 0 && queue.length === 0 && told.length > 0 ? 0 : 1

async function lane(): Promise<void> {
  const child = forkLane()
  let doing = ''
  await new Promise<void>((resolve) => {
    child.on('message', (message: Told | 'next') => {
      if (message !== 'next') return hear(message)
      if (doing !== '') progress(doing)
      const scenario = queue.shift()
      if (scenario === undefined) {
        doing = ''
        return void child.kill()
      }
      doing = scenario
      child.send({ scenario, fault, kind, every, seed } satisfies Task)
    })
    child.on('exit', (code, signal) => {
      // Whoever ended it: the cells it did not come to are not known to be right.
      if (doing !== '')
        hear({ scenario: doing, kind: 'none', fault: 'none', verdict: 'wrong', wrong: [`the process ended with ${signal ?? code}`] })
      resolve()
    })
  })
}

function progress(scenario: string): void {
  const mine = told.filter((one) => one.scenario === scenario)
  const seconds = ((Date.now() - began) / 1000).toFixed(0)
  say(`${seconds.padStart(6)} s  ${scenario}: ${mine.length} cells, ${count('wrong', mine)} wrong`)
}

function hear(one: Told): void {
  told.push(one)
  if (one.verdict !== 'wrong') return
  say(
    `  WRONG  ${one.scenario}: ${one.fault}\n         ${one.wrong.join('\n         ')}\n         again: ${again(one.scenario, one.fault)}`,
  )
}

function count(verdict: Told['verdict'], of: readonly Told[] = told): number {
  return of.filter((one) => one.verdict === verdict).length
}

/** ok/wrong/not applicable, by scenario and kind of fault. */
function table(): void {
  const kinds = [...new Set(told.map((one) => one.kind))].toSorted()
  say(`\n${'ok/wrong/not applicable'.padEnd(46)}${kinds.map((kind) => kind.padStart(15)).join('')}`)
  for (const name of SCENARIOS.map((one) => one.name)) {
    const mine = told.filter((one) => one.scenario === name)
    if (mine.length === 0) continue
    const cells = kinds.map((kind) => {
      const of = mine.filter((one) => one.kind === kind)
      return (of.length === 0 ? '-' : `${count('ok', of)}/${count('wrong', of)}/${count('missed', of)}`).padStart(15)
    })
    say(`${name.padEnd(46)}${cells.join('')}`)
  }
}
