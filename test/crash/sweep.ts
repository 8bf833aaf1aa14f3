/**
 * `npm run sweep`: every operation, every fault, a table. Exit code 1 when a cell is wrong. Words given pick scenarios;
 * STRATA_SWEEP_EVERY=5 takes only each fifth fault.
 */
import { faultsOf, nameOf, runCell } from './cell.js'
import { SCENARIOS } from './scenarios.js'

const picked = process.argv.slice(2)
const every = Number(process.env['STRATA_SWEEP_EVERY'] ?? 1)
const say = (line: string): void => void process.stdout.write(`${line}\n`)
let bad = 0
let all = 0
const began = Date.now()
for (const scenario of SCENARIOS.filter((one) => picked.length === 0 || picked.some((word) => one.name.includes(word)))) {
  const started = Date.now()
  let wrongHere = 0
  let cells = 0
  try {
    for (const fault of (await faultsOf(scenario)).filter((_, index) => index % every === 0)) {
      cells++
      const { wrong } = await runCell(scenario, fault)
      if (wrong.length === 0) continue
      wrongHere++
      say(`  WRONG  ${scenario.name}: ${nameOf(fault)}\n         ${wrong.join('\n         ')}`)
    }
  } catch (error) {
    wrongHere++
    say(`  WRONG  ${error instanceof Error ? error.message : error}`)
  }
  all += cells
  bad += wrongHere
  say(
    `${scenario.name.padEnd(48)} ${String(cells).padStart(4)} cells ${String(wrongHere).padStart(4)} wrong ${((Date.now() - started) / 1000).toFixed(1).padStart(7)} s`,
  )
}
say(
  `${'all'.padEnd(48)} ${String(all).padStart(4)} cells ${String(bad).padStart(4)} wrong ${((Date.now() - began) / 1000).toFixed(1).padStart(7)} s`,
)
process.exitCode = bad === 0 ? 0 : 1
