/** A worker that freezes a guest and then does nothing: freezing-worker.ts <state directory> <server> <budget ms>. */
import { join } from 'node:path'
import { createGuestAgent } from '../../src/keeper/guest-agent.js'
import { ownKeeperCommand } from '../../src/keeper/start.js'

const [stateDir = '', server = '', budget = ''] = process.argv.slice(2)
const agent = createGuestAgent({ stateDir, runPathOf: (id) => join(stateDir, 'run', id), keeperCommand: ownKeeperCommand() })
process.stdout.write(`${await agent.freeze(server, 'other-worker', Number(budget))}\n`)
setInterval(() => undefined, 60_000)
