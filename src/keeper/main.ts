/**
 * The freeze keeper's process: `main.js [--linger-ms <ms>] <state directory>`. Started by keeper/start.ts under flock(1), which makes
 * it the only one of its state directory. It outlives workers and goes by itself when none was connected, and nothing
 * held, for the linger time.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createFreezer } from './freezer.js'
import { createLedger } from './ledger.js'
import { serve } from './serve.js'

const { values, positionals } = parseArgs({ options: { 'linger-ms': { type: 'string', default: '60000' } }, allowPositionals: true })
const [stateDir] = positionals
if (stateDir === undefined) throw new Error('usage: main.js [--linger-ms <ms>] <state directory>')
process.umask(0o077)
process.chdir('/')
const home = join(stateDir, 'keeper')
const socketPath = join(home, 'keeper.sock')
const pidPath = join(home, 'keeper.pid')
mkdirSync(home, { recursive: true, mode: 0o700 })

const freezer = createFreezer({
  ledger: createLedger(join(home, 'ledger.json')),
  log: (event, fields) => void process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...fields })}\n`),
})
let idle: NodeJS.Timeout | undefined
const server = serve({ freezer, onIdle: startLingering, onBusy: () => clearTimeout(idle), onRetire: leave })

// Whatever was frozen by a keeper that was killed must not wait for the first caller.
freezer.recover()
rmSync(socketPath, { force: true })
server.listen(socketPath, () => writeFileSync(pidPath, `${process.pid}\n`, { mode: 0o600 }))
startLingering()
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void freezer.thawAll().then(leave))

function startLingering(): void {
  clearTimeout(idle)
  idle = setTimeout(() => (freezer.holds().length === 0 ? leave() : startLingering()), Number(values['linger-ms']))
}

function leave(): void {
  for (const path of [socketPath, pidPath]) rmSync(path, { force: true })
  process.exit(0)
}
