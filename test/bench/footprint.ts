/** Cold start to the first answer, and the memory of everything that stays resident. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Service, startService } from '../support/service.js'
import { median, quantile, type Row } from './measure.js'

export async function coldStart(times: number): Promise<Row[]> {
  const samples: number[] = []
  for (let index = 0; index < times; index++) {
    const start = performance.now()
    const service = await startService({ env: { STRATA_LOG_LEVEL: 'error' } })
    await fetch(`${service.url}/healthz`)
    samples.push(performance.now() - start)
    await service.stop()
  }
  return [
    {
      what: 'start to first 200, new state directory',
      n: times,
      ours: median(samples),
      p90: quantile(samples, 0.9),
      unit: 'ms',
      budget: '< 700 ms',
    },
  ]
}

const residentMiB = (pid: number): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024

export function memory(service: Service): Row[] {
  const pidFile = join(service.stateDir, 'keeper/keeper.pid')
  const keeper = existsSync(pidFile) ? residentMiB(Number.parseInt(readFileSync(pidFile, 'utf8'), 10)) : 0
  const what = keeper === 0 ? 'API and worker (no keeper was needed)' : 'API, worker and keeper'
  const ours = residentMiB(service.process.pid ?? 0) + keeper
  return [{ what: `resident memory after the run: ${what}`, n: 1, ours, unit: 'MiB', budget: '< 150 MiB' }]
}
