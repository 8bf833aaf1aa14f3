/**
 * A merge of 512 MiB on a running server, against the same active commit by hand: a layer with data under a top
 * that holds as much again. The data is written with qemu-io while the volume is detached and its file closed.
 */
import { execFile } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Service } from '../support/service.js'
import { until } from '../support/until.js'
import { atLeast, type Row } from './measure.js'
import { startRawQemu } from './raw.js'
import type { Tenant } from './tenant.js'

const run = promisify(execFile)
export const DATA_MIB = 512
const GIB = 1024 ** 3

interface Job {
  id: string
  operation: string
  state: string
  started_at: string | null
  ended_at: string | null
}
interface Step {
  name: string
  seconds: number | null
}

export const fill = async (path: string): Promise<void> => {
  await run('qemu-io', ['-f', 'qcow2', '-c', `write -P 7 0 ${DATA_MIB}M`, '-c', 'flush', path])
}

export async function newest(directory: string): Promise<string> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.qcow2'))
  const born = await Promise.all(
    names.map(async (name) => ({ path: join(directory, name), at: (await stat(join(directory, name))).birthtimeMs })),
  )
  return born.sort((a, b) => b.at - a.at)[0]?.path ?? ''
}

async function raw(): Promise<number> {
  const qemu = await startRawQemu(GIB, fill)
  try {
    const start = performance.now()
    await qemu.commit('q1', 'q0', 'bench')
    return DATA_MIB / ((performance.now() - start) / 1000)
  } finally {
    await qemu.stop()
  }
}

async function ours(service: Service, tenant: Tenant, serverId: string): Promise<{ copy: number; whole: number }> {
  const pool = join(service.stateDir, 'pools/default')
  const volumeId = await tenant.createVolume({ size: 1 })
  await fill(await newest(pool))
  const snapshot = await tenant.snapshot(volumeId)
  await fill(await newest(pool))
  await tenant.attach(serverId, volumeId)
  const before = await jobs(service)
  await tenant.deleteSnapshot(snapshot.id)
  const job = await until(async () => (await jobs(service)).find((j) => !before.some((b) => b.id === j.id) && j.state === 'done'), {
    what: 'the merge',
    timeoutMs: 120_000,
  })
  const detail = await service.call<{ steps: Step[] }>('GET', `/strata/v1/jobs/${job.id}`)
  const seconds = (Date.parse(job.ended_at ?? '') - Date.parse(job.started_at ?? '')) / 1000
  const step = Math.max(...detail.steps.map((s) => s.seconds ?? 0))
  return { copy: DATA_MIB / step, whole: DATA_MIB / seconds }
}

const jobs = async (service: Service): Promise<Job[]> =>
  (await service.call<{ jobs: Job[] }>('GET', '/strata/v1/jobs?operation=merge-layer')).jobs

export async function mergeThroughput(service: Service, tenant: Tenant): Promise<Row[]> {
  const serverId = await tenant.server()
  const rows: { floor: number; copy: number; whole: number }[] = []
  for (let index = 0; index < 3; index++) rows.push({ floor: await raw(), ...(await ours(service, tenant, serverId)) })
  const middle = (key: 'floor' | 'copy' | 'whole'): number => rows.map((r) => r[key]).sort((a, b) => a - b)[1] ?? Number.NaN
  const against = 'block-commit and job-complete by hand'
  return [
    {
      what: `merge of ${DATA_MIB} MiB, online: copying`,
      n: 3,
      ours: middle('copy'),
      floor: middle('floor'),
      unit: 'MiB/s',
      budget: [atLeast(0.95)],
      against,
    },
    { what: `merge of ${DATA_MIB} MiB, online: whole job`, n: 3, ours: middle('whole'), floor: middle('floor'), unit: 'MiB/s', against },
  ]
}
