/**
 * A real guest goes back to its memory: the counters its shell keeps go on from their old values, without a boot and on disks of
 * the same instant. Of each kind, running and paused, and more than once.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cloud, createCloud, PATIENCE_MS, type Seen } from '../support/cloud.js'
import { acknowledged, readGuestDisk } from '../support/guest-disk.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const TIMEOUT = 300_000
const V1 = '/strata/v1'
/** Records that may be on their way between our look at the console and the instant. */
const ON_THE_WAY = 2

let service: Service
let cloud: Cloud
beforeAll(async () => {
  service = await startService()
  cloud = createCloud(() => service)
}, TIMEOUT)
afterAll(async () => await service?.stop(), TIMEOUT)

interface Snapshot extends Seen {
  readonly consistency: { readonly reached: string; readonly paused_seconds: number | null }
}

/** What the guest counted up to, by disk: at least `from` and at most `to`. */
interface Instant {
  readonly snapshot: Snapshot
  readonly from: ReadonlyMap<string, number>
  readonly to: ReadonlyMap<string, number>
}

const show = async (id: string): Promise<Snapshot> =>
  (await cloud.call<{ server_snapshot: Snapshot }>('GET', `${V1}/server-snapshots/${id}`)).server_snapshot

async function take(serverId: string, disks: readonly string[], body: object): Promise<Instant> {
  const counted = (): Map<string, number> => new Map(disks.map((disk) => [disk, cloud.lastAck(serverId, disk)]))
  const from = counted()
  const made = await cloud.call<{ server_snapshot: Seen }>('POST', `${V1}/servers/${serverId}/snapshots`, { memory: true, ...body })
  const { id } = made.server_snapshot
  await until(async () => (await show(id)).status !== 'creating', { what: 'a snapshot', timeoutMs: PATIENCE_MS })
  const snapshot = await show(id)
  expect(snapshot).toMatchObject({ status: 'available', consistency: { reached: 'memory', degraded_reason: null } })
  return { snapshot, from, to: counted() }
}

/** Goes back, and sees the guest go on. Each QEMU begins a log of its own: what is in it was said since. */
async function goBack(serverId: string, { snapshot, from, to }: Instant, becomes: 'ACTIVE' | 'PAUSED' = 'ACTIVE'): Promise<void> {
  const { job_id } = await cloud.call<{ job_id: string }>('POST', `${V1}/server-snapshots/${snapshot.id}/revert`, { memory: true })
  await cloud.serverBecomes(
    serverId,
    becomes,
    ['REBUILD', 'ACTIVE', 'PAUSED'].filter((status) => status !== becomes),
  )
  const job = async () => (await cloud.call<{ job: Seen & { state: string } }>('GET', `${V1}/jobs/${job_id}`)).job
  await until(async () => !['queued', 'running'].includes((await job()).state), { what: 'the revert to end', timeoutMs: PATIENCE_MS })
  expect(await job()).toMatchObject({ state: 'done', error: null })
  if (becomes === 'PAUSED') {
    expect(acknowledged(cloud.console(serverId), 'vda')).toEqual([])
    await cloud.act(serverId, { unpause: null })
    await cloud.serverBecomes(serverId, 'ACTIVE', ['PAUSED'])
  }
  for (const [disk, least] of from) {
    await cloud.writesOn(serverId, disk, 3)
    const [first = 0] = acknowledged(cloud.console(serverId), disk)
    expect(first).toBeGreaterThan(least)
    expect(first).toBeLessThanOrEqual((to.get(disk) ?? 0) + ON_THE_WAY)
  }
  expect(cloud.console(serverId)).not.toMatch(/READY|MOUNTED|test guest/)
}

describe('the memory of a server', () => {
  it(
    'goes on where it was, on the disks of that instant',
    async () => {
      const serverId = await cloud.boot(await cloud.guestImage({ hw_qemu_guest_agent: 'yes' }))
      const volumeId = await cloud.createVolume()
      const { disk } = await cloud.attach(serverId, volumeId)
      const disks = ['vda', disk]
      const writeOn = async (): Promise<void> => {
        for (const one of disks) await cloud.writesOn(serverId, one, 5)
      }
      await writeOn()
      const external = await take(serverId, disks, { kind: 'external' })
      expect(external.snapshot.consistency.paused_seconds).toBeGreaterThan(0)
      await writeOn()
      await goBack(serverId, external)
      await writeOn()

      const internal = await take(serverId, disks, { kind: 'internal' })
      expect(internal.snapshot.consistency.paused_seconds).toBeGreaterThan(0)
      await writeOn()
      await goBack(serverId, internal)

      await cloud.act(serverId, { pause: null })
      await cloud.serverBecomes(serverId, 'PAUSED', ['ACTIVE'])
      const paused = await take(serverId, disks, { kind: 'external' })
      expect(await cloud.server(serverId)).toMatchObject({ status: 'PAUSED' })
      await cloud.act(serverId, { unpause: null })
      await cloud.serverBecomes(serverId, 'ACTIVE', ['PAUSED'])
      await writeOn()
      await goBack(serverId, paused, 'PAUSED')
      await goBack(serverId, external)

      expect(await cloud.settled()).toEqual([])
      expect(await cloud.audit(serverId)).toMatchObject({ live: true, settled: true, findings: [] })
      await cloud.stopServer(serverId)
      for (const chain of [await cloud.diskChain(serverId, null), await cloud.diskChain(serverId, volumeId)]) {
        const contents = await readGuestDisk(chain)
        expect(contents).toMatchObject({ consistent: true, intact: true, odd: [] })
      }
      await cloud.deleteServer(serverId)
    },
    TIMEOUT,
  )
})
