/** Cold start to the first answer, and the memory of everything that stays resident. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Service, startService } from '../support/service.js'
import { below, median, processorTime, quantile, type Row } from './measure.js'

export async function coldStart(times: number): Promise<Row[]> {
  const [first, again, cpu]: [number[], number[], number[]] = [[], [], []]
  for (let index = 0; index < times; index++) {
    const start = performance.now()
    const fresh = await startService({ env: { STRATA_LOG_LEVEL: 'error' } })
    await fetch(`${fresh.url}/healthz`)
    first.push(performance.now() - start)
    cpu.push(processorTime(fresh.process.pid ?? 0))
    await ended(fresh)
    const restart = performance.now()
    const service = await startService({ env: { STRATA_LOG_LEVEL: 'error' }, stateDir: fresh.stateDir })
    await fetch(`${service.url}/healthz`)
    again.push(performance.now() - restart)
    await service.stop()
  }
  const row = (what: string, samples: readonly number[], more: Partial<Row> = {}): Row => ({
    ...{ what, n: times, ours: median(samples), p90: quantile(samples, 0.9), unit: 'ms', budget: [below(700)], ...more },
  })
  return [
    row('start to first 200, new state directory', first, { cpu: median(cpu) }),
    row('start to first 200, state directory of an earlier run', again),
  ]
}

async function ended(service: Service): Promise<void> {
  const gone = new Promise((resolve) => service.process.once('exit', resolve))
  service.process.kill('SIGTERM')
  await gone
}

const residentMiB = (pid: number): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024

export function memory(service: Service): Row[] {
  const pidFile = join(service.stateDir, 'keeper/keeper.pid')
  const keeper = existsSync(pidFile) ? residentMiB(Number.parseInt(readFileSync(pidFile, 'utf8'), 10)) : 0
  const what = keeper === 0 ? 'API and worker (no keeper was needed)' : 'API, worker and keeper'
  const ours = residentMiB(service.process.pid ?? 0) + keeper
  return [{ what: `resident memory after the run: ${what}`, n: 1, ours, unit: 'MiB', budget: [below(150, 'MiB')] }]
}
