/**
 * How long a guest stands still for each kind of snapshot, seen from outside: the tiny guest beats every two milliseconds
 * on a port, and the longest silence while the snapshot is taken is its pause. Beside it the same sequence done by hand on
 * a guest of our own, and silence while nothing is done.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { shortId } from '../../src/domain/names.js'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import { type Cloud, createCloud } from '../support/cloud.js'
import { startGuest, type TestGuest } from '../support/guest.js'
import { personsMonitor } from '../support/people.js'
import type { Service } from '../support/service.js'
import { until } from '../support/until.js'
import { below, median, quantile, type Row, timed, within } from './measure.js'

const run = promisify(execFile)
const GIB = 2 ** 30
/** As the flavor of the guest it is held against. */
const GUEST_MIB = 512

/** The longest silence, milliseconds, between two beats from shortly before the work to shortly after it. */
export interface Heart {
  silenceDuring(work: () => Promise<unknown>): Promise<number>
  stop(): void
}

export async function listen(path: string): Promise<Heart> {
  const socket: Socket = await until(() => dial(path), { what: 'the heartbeat port' })
  let last = performance.now()
  let longest = 0
  let beats = 0
  socket.on('data', () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    beats++
  })
  const beaten = async (more: number): Promise<void> => {
    const from = beats
    await until(() => beats >= from + more, { what: 'a heartbeat', everyMs: 5, timeoutMs: 60_000 })
  }
  await beaten(20)
  return {
    async silenceDuring(work) {
      await beaten(10)
      longest = 0
      await work()
      await beaten(10)
      return longest
    },
    stop: () => void socket.destroy(),
  }
}

/** A port added to a running guest by its monitor for people; the guest finds it and beats. */
export async function heartOf(service: Service, serverId: string): Promise<Heart> {
  const directory = join(service.stateDir, 'run', shortId(serverId))
  const path = join(directory, 'hb.sock')
  const monitor = await personsMonitor(directory)
  const backend = { type: 'socket', data: { addr: { type: 'unix', data: { path } }, server: true, wait: false } }
  await monitor.execute('chardev-add', { id: 'hb', backend })
  await monitor.execute('device_add', { driver: 'virtserialport', bus: 'ports.0', id: 'hb', chardev: 'hb', name: 'hb.tick' })
  monitor.close()
  return await listen(path)
}

export interface RawGuest extends TestGuest {
  readonly heart: Heart
  readonly directory: string
  stop(): Promise<void>
}

/** The same guest by hand, with two disks, for the floor. */
export async function startRawGuest(): Promise<RawGuest> {
  const directory = await mkdtemp('/tmp/hb-')
  const disks = [join(directory, 'a.qcow2'), join(directory, 'b.qcow2')]
  for (const disk of disks) await run('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '1G'])
  const guest = await startGuest({ directory, disks, flags: 'hb=1 wr=1', heartbeat: true, memoryMib: GUEST_MIB })
  await guest.says(/^READY/m)
  const heart = await listen(join(directory, 'hb.sock'))
  return {
    ...guest,
    heart,
    directory,
    async stop() {
      heart.stop()
      await guest.kill()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** What each kind costs by hand: the commands of QEMU's manual, in their order, with nothing around them. */
function byHand(guest: RawGuest) {
  const files = createLayerFiles()
  const tops = ['disk0', 'disk1']
  let count = 0
  const file = (disk: number, n: number) => ({
    layerId: `${disk}-${n}`,
    path: join(guest.directory, n === 0 ? `${'ab'[disk]}.qcow2` : `${disk}-${n}.qcow2`),
    format: 'qcow2' as const,
    virtualSize: GIB,
  })
  const overlays = async (): Promise<object[]> => {
    count++
    const actions: object[] = []
    for (const [disk, top] of tops.entries()) {
      const node = `d${disk}n${count}`
      await files.create(file(disk, count), file(disk, lastOverlay))
      await guest.qmp('blockdev-add', { driver: 'file', 'node-name': `${node}f`, filename: file(disk, count).path })
      await guest.qmp('blockdev-add', { driver: 'qcow2', 'node-name': node, file: `${node}f`, backing: null })
      actions.push({ type: 'blockdev-snapshot', data: { node: top, overlay: node } })
      tops[disk] = node
    }
    lastOverlay = count
    return actions
  }
  let lastOverlay = 0
  const status = async (): Promise<string> => ((await guest.qmp('query-status')) as { status: string }).status
  return {
    'external, disks only': async () => void (await guest.qmp('transaction', { actions: await overlays() })),
    'internal, disks only': async () => {
      const name = `t${++count}`
      const actions = tops.map((device) => ({ type: 'blockdev-snapshot-internal-sync', data: { device, name } }))
      await guest.qmp('transaction', { actions })
    },
    'internal, with memory': async () => {
      const id = `s${++count}`
      await guest.qmp('snapshot-save', { 'job-id': id, tag: id, vmstate: tops[0], devices: tops })
      await until(async () => (await job(id))?.status === 'concluded', { what: 'snapshot-save', everyMs: 5, timeoutMs: 60_000 })
      const error = (await job(id))?.error
      if (error !== undefined) throw new Error(`snapshot-save: ${error}`)
      await guest.qmp('job-dismiss', { id })
    },
    'external, with memory': async () => {
      const actions = await overlays()
      await guest.qmp('migrate', { uri: `exec:cat > ${join(guest.directory, `m${count}.mem`)}` })
      await until(async () => (await status()) === 'postmigrate', { what: 'the migration', everyMs: 2, timeoutMs: 60_000 })
      await guest.qmp('transaction', { actions })
      await guest.qmp('cont')
    },
  }
  async function job(id: string): Promise<{ status: string; error?: string } | undefined> {
    return ((await guest.qmp('query-jobs')) as { id: string; status: string; error?: string }[]).find((one) => one.id === id)
  }
}

const BODIES = {
  'external, disks only': { kind: 'external' },
  'internal, disks only': { kind: 'internal' },
  'internal, with memory': { kind: 'internal', memory: true },
  'external, with memory': { kind: 'external', memory: true },
} as const

export async function pauses(service: Service, n: number): Promise<Row[]> {
  const cloud = createCloud(() => service)
  const raw = await startRawGuest()
  try {
    const server = await cloud.boot(
      await cloud.guestImage({ hw_qemu_guest_agent: 'yes', os_command_line: 'console=ttyS0 quiet wr=1 hb=1' }),
    )
    await cloud.attach(server, await cloud.createVolume())
    const heart = await heartOf(service, server)
    const take = async (body: object): Promise<void> => {
      const { server_snapshot } = await cloud.call<{ server_snapshot: { id: string } }>(
        'POST',
        `/strata/v1/servers/${server}/snapshots`,
        body,
      )
      await until(async () => (await shown(server_snapshot.id)).status === 'available', {
        what: 'the snapshot',
        everyMs: 5,
        timeoutMs: 60_000,
      })
    }
    const shown = async (id: string): Promise<{ status: string; consistency?: { frozen_seconds: number | null } }> =>
      (await cloud.call<{ server_snapshot: { status: string } }>('GET', `/strata/v1/server-snapshots/${id}`)).server_snapshot
    const hand = byHand(raw)
    await raw.qmp('migrate-set-parameters', { 'max-bandwidth': 2 ** 40 })
    const idle: number[] = []
    for (let index = 0; index < n; index++) idle.push(await heart.silenceDuring(() => new Promise((resolve) => setTimeout(resolve, 100))))
    const rows: Row[] = [row('guest pause while nothing is done', idle)]
    for (const [kind, body] of Object.entries(BODIES) as [keyof typeof BODIES, object][]) {
      const [ours, floor] = [[] as number[], [] as number[]]
      for (let index = 0; index < n; index++) {
        floor.push(await raw.heart.silenceDuring(hand[kind]))
        ours.push(await heart.silenceDuring(() => take({ ...body, quiesce: 'none' })))
      }
      const memory = 'memory' in body
      rows.push(
        row(`guest pause, ${kind}`, ours, { floor: median(floor), budget: memory ? [within(1.3)] : [below(2 * quantile(idle, 0.9))] }),
      )
    }
    const frozen: number[] = []
    for (let index = 0; index < n; index++) frozen.push(await heart.silenceDuring(() => take({ quiesce: 'required' })))
    rows.push(row('guest pause, external, disks only, frozen', frozen, { budget: [below(100)] }))
    heart.stop()
    await cloud.deleteServer(server)
    return [...rows, ...(await saves(service, cloud, n))]
  } finally {
    await raw.stop()
  }
}

/** Managed save and restore of a guest whose system is up; it beats nowhere, for a port of ours is not among its devices. */
async function saves(service: Service, cloud: Cloud, n: number): Promise<Row[]> {
  const server = await cloud.boot(await cloud.guestImage())
  const { flavor } = await cloud.server(server)
  const gib = Number((flavor as { ram?: number }).ram ?? (await ramOf(cloud, String((flavor as { id: string }).id)))) / 1024
  const [saved, restored] = [[] as number[], [] as number[]]
  for (let round = 0; round < n; round++) {
    saved.push(await timed(async () => await finished(service, await cloud.call('POST', `/strata/v1/servers/${server}/managed-save`))))
    restored.push(
      await timed(async () => {
        await cloud.call('POST', `/compute/v2.1/servers/${server}/action`, { 'os-start': null })
        await until(async () => (await cloud.server(server)).status === 'ACTIVE', { what: 'ACTIVE', everyMs: 5, timeoutMs: 60_000 })
      }),
    )
  }
  await cloud.deleteServer(server)
  const perGib = (samples: readonly number[]): number[] => samples.map((one) => one / gib)
  return [
    row('managed save of the tiny guest', saved),
    row('managed save, per GiB of RAM', perGib(saved)),
    row('its restore', restored),
    row('restore, per GiB of RAM', perGib(restored)),
  ]
}

const ramOf = async (cloud: Cloud, id: string): Promise<number> =>
  (await cloud.call<{ flavor: { ram: number } }>('GET', `/compute/v2.1/flavors/${id}`)).flavor.ram

async function finished(service: Service, { job_id }: { job_id?: string }): Promise<void> {
  const state = async (): Promise<string> => (await service.call<{ job: { state: string } }>('GET', `/strata/v1/jobs/${job_id}`)).job.state
  await until(async () => (await state()) === 'done', { what: 'the job to be done', everyMs: 5, timeoutMs: 60_000 })
}

const row = (what: string, samples: readonly number[], more: Partial<Row> = {}): Row => ({
  what,
  n: samples.length,
  ours: median(samples),
  p90: quantile(samples, 0.9),
  unit: 'ms',
  ...more,
})

function dial(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => resolve(socket))
    socket.once('error', () => resolve(undefined))
  })
}
