/** Pull and copy of 512 MiB on a running server, each beside the same block job by hand: the lower of two layers holds all the data. */
import { join } from 'node:path'
import type { Service } from '../support/service.js'
import { until } from '../support/until.js'
import { atLeast, median, type Row } from './measure.js'
import { DATA_MIB, fill, newest } from './merge.js'
import { startRawQemu } from './raw.js'
import type { Tenant } from './tenant.js'

const GIB = 1024 ** 3
const ROUNDS = 3

const rate = (from: number): number => DATA_MIB / ((performance.now() - from) / 1000)

async function byHand(what: 'pull' | 'copy'): Promise<number> {
  const qemu = await startRawQemu(GIB, fill, 'lower')
  try {
    const start = performance.now()
    await (what === 'pull' ? qemu.stream('q1', 'bench') : qemu.mirror('q1', 'bench'))
    return rate(start)
  } finally {
    await qemu.stop()
  }
}

interface Job {
  readonly state: string
  readonly error: string | null
}

async function ours(service: Service, tenant: Tenant, serverId: string, what: 'pull' | 'copy'): Promise<number> {
  const volumeId = await tenant.createVolume({ size: 1 })
  await fill(await newest(join(service.stateDir, 'pools/default')))
  await tenant.snapshot(volumeId)
  await tenant.attach(serverId, volumeId)
  const start = performance.now()
  const { job_id } = await service.call<{ job_id: string }>('POST', `/strata/v1/volumes/${volumeId}/chain/${what}`, {})
  const job = async (): Promise<Job> => (await service.call<{ job: Job }>('GET', `/strata/v1/jobs/${job_id}`)).job
  await until(async () => !['queued', 'running'].includes((await job()).state), { what, everyMs: 5, timeoutMs: 120_000 })
  const done = rate(start)
  const { state, error } = await job()
  if (state !== 'done') throw new Error(`${what} is ${state}: ${error}`)
  return done
}

export async function chainThroughput(service: Service, tenant: Tenant): Promise<Row[]> {
  const serverId = await tenant.server()
  const rows: Row[] = []
  for (const what of ['pull', 'copy'] as const) {
    const [floor, mine] = [[] as number[], [] as number[]]
    for (let round = 0; round < ROUNDS; round++) {
      floor.push(await byHand(what))
      mine.push(await ours(service, tenant, serverId, what))
    }
    const against = what === 'pull' ? 'block-stream by hand' : 'blockdev-mirror and job-complete by hand'
    const more = { unit: 'MiB/s', budget: [atLeast(0.95)], against }
    rows.push({ what: `${what} of ${DATA_MIB} MiB, online, POST to end`, n: ROUNDS, ours: median(mine), floor: median(floor), ...more })
  }
  return rows
}
