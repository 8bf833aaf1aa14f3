/** A real worker process that kills or stops itself at a gap: node --import tsx child.ts <dir> <url> <hostId> <gap> <signal> */
import { registry } from '../../src/operations/registry.js'
import { createLocalDoorbell } from '../../src/worker/doorbell.js'
import { createWorker } from '../../src/worker/worker.js'
import { incarnate } from './ports.js'

const [dir = '', url = '', hostId = '', gap = '', signal = 'SIGKILL'] = process.argv.slice(2)
const clock = {
  now: () => Date.now() * 1000,
  monotonic: () => Math.round(performance.now() * 1000),
  sleep: (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis)),
}
const { ports } = await incarnate({ dir, url, hostId, clock: { ...clock, advance: () => {} } }, 'honest')
const worker = createWorker({
  ports,
  registry,
  workerId: `child-${process.pid}`,
  doorbell: createLocalDoorbell(),
  log: { info: () => {}, warn: () => {}, error: () => {} },
  leaseMs: 1000,
  pollMs: 50,
  gap: async (_, point) => {
    if (point !== gap) return
    process.stdout.write(`at ${point}\n`)
    process.kill(process.pid, signal as NodeJS.Signals)
    // A stop takes hold between two turns of the loop.
    await new Promise((resolve) => setTimeout(resolve, 20))
  },
})
await worker.start()
process.stdout.write('started\n')
