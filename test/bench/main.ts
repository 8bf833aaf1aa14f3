/**
 * `npm run bench`: what a tenant waits for, each beside its floor measured in the same run, as ratios. Prints a
 * table and writes JSON to the path given by `--json`. No budget is asserted here: figures are for people.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { mariaDbSays, startMariaDb } from '../support/mariadb.js'
import { type Service, startService } from '../support/service.js'
import { coldStart, memory } from './footprint.js'
import { imageOf512MiB } from './images.js'
import { listing } from './listing.js'
import { median, quantile, type Row, repeat, table, timed } from './measure.js'
import { mergeThroughput } from './merge.js'
import { startRawQemu } from './raw.js'
import { type Tenant, tenantOf } from './tenant.js'

const GIB = 1024 ** 3
/** Rounds before the first that counts: code is compiled, validators are made, files are in the cache. */
const WARM_UP = 8
const { values } = parseArgs({ options: { json: { type: 'string' }, quick: { type: 'boolean', default: false } } })
const n = (full: number): number => (values.quick ? Math.max(3, Math.round(full / 6)) : full)

const row = (what: string, samples: readonly number[], more: Partial<Row> = {}): Row => ({
  what,
  n: samples.length,
  ours: median(samples),
  p90: quantile(samples, 0.9),
  unit: 'ms',
  ...more,
})

async function liveSnapshots(tenant: Tenant, engine: string, budget: string): Promise<Row[]> {
  const server = await tenant.server()
  const volume = await tenant.createVolume({ size: 1 })
  await tenant.attach(server, volume)
  const raw = await startRawQemu(GIB)
  const floor: number[] = []
  const samples: number[] = []
  const removals: number[] = []
  const taken: string[] = []
  for (let index = 0; index < WARM_UP; index++) {
    await raw.snapshot()
    taken.push((await tenant.snapshot(volume)).id)
  }
  await forget()
  removals.length = 0
  // Turn and turn about, so that both see the same machine. Depth stays low on both sides.
  for (let index = 0; index < n(30); index++) {
    floor.push(await timed(() => raw.snapshot()))
    const one = await tenant.snapshot(volume)
    samples.push(one.available)
    taken.push(one.id)
    if (taken.length === 8) await forget()
  }
  await forget()
  await raw.stop()
  return [
    row(`POST snapshot of an attached volume to available, ${engine}`, samples, {
      floor: median(floor),
      budget,
      against: 'the same QMP by hand',
    }),
    row(`DELETE snapshot to 404, online, ${engine}`, removals, { budget: '< 10 ms' }),
  ]

  async function forget(): Promise<void> {
    for (const id of taken.splice(0)) removals.push(await tenant.deleteSnapshot(id))
  }
}

async function offlineSnapshots(tenant: Tenant, engine: string): Promise<Row[]> {
  const volume = await tenant.createVolume({ size: 1 })
  const once = async (): Promise<number> => (await tenant.snapshot(volume)).available
  await repeat(WARM_UP, once)
  const taken = await repeat(n(30), once)
  const many = await Promise.all(Array.from({ length: 16 }, () => tenant.createVolume({ size: 1 })))
  // Sixteen callers share sixty requests; it is over when every snapshot is available.
  const burst = async (): Promise<number> =>
    await timed(async () => {
      const queue = Array.from({ length: 60 }, (_, index) => many[index % 16] as string)
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          for (let next = queue.pop(); next !== undefined; next = queue.pop()) await tenant.acceptSnapshot(next)
        }),
      )
      await tenant.settled()
    })
  await burst()
  const bursts = await repeat(3, burst)
  return [
    row(`POST snapshot of a detached volume to available, ${engine}`, taken, { budget: '< 10 ms' }),
    { what: `burst of 60 snapshots at 16 at once, ${engine}`, n: 3, ours: 60_000 / median(bursts), unit: '/s', budget: '> 400 /s' },
  ]
}

async function on(engine: string, env: Record<string, string>, work: (service: Service, tenant: Tenant) => Promise<Row[]>): Promise<Row[]> {
  const service = await startService({ env: { STRATA_LOG_LEVEL: 'error', ...env } })
  try {
    process.stderr.write(`measuring on ${engine} …\n`)
    return await work(service, await tenantOf(service))
  } finally {
    await service.stop()
  }
}

const rows: Row[] = []
rows.push(...(await coldStart(n(5))))
rows.push(
  ...(await on('SQLite', {}, async (service, tenant) => [
    ...(await liveSnapshots(tenant, 'SQLite', '< 10 ms, < 3x')),
    ...(await offlineSnapshots(tenant, 'SQLite')),
    ...(await imageOf512MiB(service, tenant)),
    ...(await mergeThroughput(service, tenant)),
    ...(await listing(service, tenant, values.quick ? [1000] : [1000, 100_000])),
    ...memory(service),
  ])),
)
const mariadb = await startMariaDb()
await mariaDbSays(mariadb.socketPath, 'CREATE DATABASE bench')
rows.push(
  ...(await on(
    'MariaDB',
    { STRATA_DATABASE_URL: `mysql://root@localhost/bench?socketPath=${mariadb.socketPath}` },
    async (_service, tenant) => [...(await liveSnapshots(tenant, 'MariaDB', '< 15 ms')), ...(await offlineSnapshots(tenant, 'MariaDB'))],
  )),
)
await mariadb.stop()

const conditions = {
  date: new Date().toISOString(),
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  cpu: cpus()[0]?.model ?? '',
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / GIB),
  kernel: release(),
  node: process.version,
  qemu: execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? '',
  fileSystem:
    readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .find((line) => line.split(' ')[1] === '/')
      ?.split(' ')[2] ?? '',
  load: loadavg()
    .map((value) => value.toFixed(2))
    .join(' '),
}
process.stdout.write(
  `${table(rows)}\n\n${Object.entries(conditions)
    .map(([key, value]) => `${key}: ${value}`)
    .join('\n')}\n`,
)
if (values.json !== undefined) await writeFile(values.json, JSON.stringify({ conditions, rows }, null, 2))
