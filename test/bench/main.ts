/**
 * `npm run bench`: what a tenant waits for, each beside its floor measured in the same run, as ratios. Prints a
 * table and writes JSON to the path given by `--json`; `--only=pauses` leaves out all but the guest's pauses. Each budget is told as met or missed, none is asserted: on a busy
 * machine only the ratios and the processor time mean anything.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { mariaDbSays, startMariaDb } from '../support/mariadb.js'
import { type Service, startService } from '../support/service.js'
import { chainThroughput } from './chains.js'
import { coldStart, memory } from './footprint.js'
import { imageOf512MiB } from './images.js'
import { listing } from './listing.js'
import { above, below, median, processorTime, quantile, type Row, repeat, table, timed, within } from './measure.js'
import { mergeThroughput } from './merge.js'
import { pauses } from './pauses.js'
import { startRawQemu } from './raw.js'
import { type Tenant, tenantOf } from './tenant.js'

const GIB = 1024 ** 3
/** Rounds before the first that counts: code is compiled, validators are made, files are in the cache. */
const WARM_UP = 24
const { values } = parseArgs({
  options: { json: { type: 'string' }, quick: { type: 'boolean', default: false }, only: { type: 'string' } },
})
const n = (full: number): number => (values.quick ? Math.max(3, Math.round(full / 6)) : full)

const row = (what: string, samples: readonly number[], more: Partial<Row> = {}): Row => ({
  what,
  n: samples.length,
  ours: median(samples),
  p90: quantile(samples, 0.9),
  unit: 'ms',
  ...more,
})

async function liveSnapshots(service: Service, tenant: Tenant, engine: string, millis: number): Promise<Row[]> {
  const server = await tenant.server()
  const volume = await tenant.createVolume({ size: 1 })
  await tenant.attach(server, volume)
  const raw = await startRawQemu(GIB)
  const floor: number[] = []
  const samples: number[] = []
  const removals: number[] = []
  const cpu: number[] = []
  const pid = service.process.pid ?? 0
  const taken: string[] = []
  for (let index = 0; index < WARM_UP; index++) {
    await raw.snapshot()
    taken.push((await tenant.snapshot(volume)).id)
  }
  await forget()
  await tenant.idle()
  removals.length = 0
  // Turn and turn about, so that both see the same machine. Depth stays low on both sides.
  const crowded: number[] = []
  for (let index = 0; index < n(30); index++) {
    floor.push(await timed(() => raw.snapshot()))
    const before = processorTime(pid)
    const one = await tenant.snapshot(volume)
    cpu.push(processorTime(pid) - before)
    samples.push(one.available)
    taken.push(one.id)
    if (taken.length < 8) continue
    await forget()
    // Now what was deleted is being merged, and has to make way.
    const meanwhile = await tenant.snapshot(volume)
    crowded.push(meanwhile.available)
    taken.push(meanwhile.id)
    await forget()
    await tenant.idle()
  }
  await forget()
  await tenant.idle()
  await raw.stop()
  return [
    row(`POST snapshot of an attached volume to available, ${engine}`, samples, {
      floor: median(floor),
      cpu: median(cpu),
      budget: [below(millis), within(3)],
      against: 'the same QMP by hand',
    }),
    row(`the same while deleted snapshots are being merged, ${engine}`, crowded),
    row(`DELETE snapshot to 404, online, ${engine}`, removals, { budget: [below(10)] }),
  ]

  async function forget(): Promise<void> {
    for (const id of taken.splice(0)) removals.push(await tenant.deleteSnapshot(id))
  }
}

async function offlineSnapshots(service: Service, tenant: Tenant, engine: string): Promise<Row[]> {
  const volume = await tenant.createVolume({ size: 1 })
  const once = async (): Promise<number> => (await tenant.snapshot(volume)).available
  await repeat(WARM_UP, once)
  const taken = await repeat(n(30), once)
  const many = await Promise.all(Array.from({ length: 16 }, () => tenant.createVolume({ size: 1 })))
  // Sixteen callers share sixty requests; it is over when every snapshot is available.
  const burst = async (): Promise<number> =>
    await timed(async () => {
      const start = performance.now()
      const queue = Array.from({ length: 60 }, (_, index) => many[index % 16] as string)
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          for (let next = queue.pop(); next !== undefined; next = queue.pop()) await tenant.acceptSnapshot(next)
        }),
      )
      accepted.push(performance.now() - start)
      await tenant.settled()
    })
  const accepted: number[] = []
  await repeat(2, burst)
  accepted.length = 0
  const before = processorTime(service.process.pid ?? 0)
  const bursts = await repeat(5, burst)
  const cpu = (processorTime(service.process.pid ?? 0) - before) / (5 * 60)
  const rate = { n: 5, unit: '/s', budget: [above(400, '/s')] }
  return [
    row(`POST snapshot of a detached volume to available, ${engine}`, taken, { budget: [below(10)] }),
    { what: `burst of 60 snapshots at 16 at once: accepted, ${engine}`, ours: 60_000 / median(accepted), ...rate },
    { what: `burst of 60 snapshots at 16 at once: available, ${engine}`, ours: 60_000 / median(bursts), cpu, ...rate },
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

const sizes = values.quick ? [1000] : [1000, 100_000]
const rows: Row[] = []
async function everythingElse(): Promise<void> {
  rows.push(...(await coldStart(n(5))))
  rows.push(
    ...(await on('SQLite', {}, async (service, tenant) => [
      ...(await liveSnapshots(service, tenant, 'SQLite', 10)),
      ...(await offlineSnapshots(service, tenant, 'SQLite')),
      ...(await imageOf512MiB(service, tenant)),
      ...(await mergeThroughput(service, tenant)),
      ...(await chainThroughput(service, tenant)),
      ...(await listing(service, tenant, { url: `sqlite:${join(service.stateDir, 'strata.sqlite')}`, engine: 'SQLite', sizes })),
      ...memory(service),
    ])),
  )
  const mariadb = await startMariaDb()
  await mariaDbSays(mariadb.socketPath, 'CREATE DATABASE bench')
  const url = `mysql://root@localhost/bench?socketPath=${mariadb.socketPath}`
  rows.push(
    ...(await on('MariaDB', { STRATA_DATABASE_URL: url }, async (service, tenant) => [
      ...(await liveSnapshots(service, tenant, 'MariaDB', 15)),
      ...(await offlineSnapshots(service, tenant, 'MariaDB')),
      ...(await listing(service, tenant, { url, engine: 'MariaDB', sizes })),
    ])),
  )
  await mariadb.stop()
}

if (values.only === undefined) await everythingElse()
rows.push(...(await on('SQLite', {}, async (service) => await pauses(service, n(12)))))

const told = (row: Row) => ({ ...row, budget: row.budget?.map((one) => ({ text: one.text, met: one.met(row) })) })
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
if (values.json !== undefined) await writeFile(values.json, JSON.stringify({ conditions, rows: rows.map(told) }, null, 2))
