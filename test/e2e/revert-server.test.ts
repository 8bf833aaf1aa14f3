/**
 * A real guest that writes to two disks goes back to a snapshot, and forth to the present that was kept: what it finds is
 * what it says when it mounts its disks, and what is read from the layers without it.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cloud, chainOf, createCloud, PATIENCE_MS, type Seen } from '../support/cloud.js'
import { acknowledged, type GuestDiskContents, readGuestDisk } from '../support/guest-disk.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const TIMEOUT = 300_000
const V1 = '/strata/v1'
const PASSING = ['REBUILD', 'PAUSED']

let service: Service
let cloud: Cloud
beforeAll(async () => {
  service = await startService()
  cloud = createCloud(() => service)
}, TIMEOUT)
afterAll(async () => await service?.stop(), TIMEOUT)

interface Snapshot extends Seen {
  readonly consistency: { readonly reached: string }
  readonly is_current: boolean
  readonly parent_id: string | null
  readonly disks: readonly { readonly device: string; readonly layer_id: string }[]
}

const show = async (id: string): Promise<Snapshot> =>
  (await cloud.call<{ server_snapshot: Snapshot }>('GET', `${V1}/server-snapshots/${id}`)).server_snapshot

async function take(serverId: string, body: object = {}): Promise<Snapshot> {
  const made = await cloud.call<{ server_snapshot: Seen }>('POST', `${V1}/servers/${serverId}/snapshots`, body)
  await until(async () => (await show(made.server_snapshot.id)).status !== 'creating', { what: 'a snapshot', timeoutMs: PATIENCE_MS })
  return await show(made.server_snapshot.id)
}

/** By device, what a snapshot holds. */
async function heldBy({ disks }: Snapshot): Promise<Map<string, GuestDiskContents>> {
  const held = new Map<string, GuestDiskContents>()
  for (const { device, layer_id } of disks) held.set(device, await readGuestDisk(await chainOf(join(cloud.pool(), `${layer_id}.qcow2`))))
  return held
}

async function revert(
  serverId: string,
  id: string,
  body: object,
  becomes: string,
): Promise<{ kept_in: { server_snapshot_id: string } | null }> {
  const answer = await cloud.call<{ job_id: string; kept_in: { server_snapshot_id: string } | null }>(
    'POST',
    `${V1}/server-snapshots/${id}/revert`,
    body,
  )
  await cloud.serverBecomes(serverId, becomes, PASSING)
  const { job } = await cloud.call<{ job: Seen & { state: string; error: string | null } }>('GET', `${V1}/jobs/${answer.job_id}`)
  expect(job).toMatchObject({ state: 'done', error: null })
  return answer
}

describe('a server of two disks', () => {
  it(
    'goes back while it runs, and to the present that was kept, with nothing lost of either',
    async () => {
      const serverId = await cloud.boot(await cloud.guestImage({ hw_qemu_guest_agent: 'yes' }))
      const volumeId = await cloud.createVolume()
      const { disk } = await cloud.attach(serverId, volumeId)
      const disks = ['vda', disk]
      for (const one of disks) await cloud.writesOn(serverId, one, 5)

      const then = await take(serverId)
      expect(then).toMatchObject({ status: 'available', is_current: true, consistency: { reached: 'filesystem' } })
      const held = await heldBy(then)
      expect([...held.keys()]).toEqual(disks)
      for (const contents of held.values()) expect(contents).toMatchObject({ clean: true, intact: true, odd: [] })
      for (const one of disks) await cloud.writesOn(serverId, one, 5)

      const refused = cloud.call('POST', `${V1}/server-snapshots/${then.id}/revert`, {})
      await expect(refused).rejects.toThrow('power_state is required')
      const before = new Map(disks.map((one) => [one, cloud.lastAck(serverId, one)]))
      const { kept_in } = await revert(serverId, then.id, { power_state: 'running', keep_current: true }, 'ACTIVE')

      // The guest itself finds its disks as they were.
      await cloud.says(serverId, /^READY/m)
      for (const one of disks) {
        const [, last] = await cloud.says(serverId, new RegExp(`^MOUNTED ${one} serial=\\S* last=(\\d*)\\r?$`, 'm'))
        expect(Number(last)).toBe(held.get(one)?.last)
        await cloud.writesOn(serverId, one, 3)
      }
      expect(await show(then.id)).toMatchObject({ status: 'available', is_current: true })
      expect(await heldBy(await show(then.id))).toEqual(held)

      const kept = await show(kept_in?.server_snapshot_id ?? '')
      expect(kept).toMatchObject({ status: 'available', parent_id: then.id, is_current: false })
      const present = await heldBy(kept)
      for (const one of disks) {
        expect(present.get(one)).toMatchObject({ clean: true, intact: true })
        expect(present.get(one)?.last).toBeGreaterThanOrEqual(before.get(one) ?? 0)
      }

      // Forth again, and off: what is read then is the kept present, record by record.
      await revert(serverId, kept.id, { power_state: 'stopped' }, 'SHUTOFF')
      expect(await cloud.settled()).toEqual([])
      for (const [one, chain] of [
        ['vda', await cloud.diskChain(serverId, null)],
        [disk, await cloud.diskChain(serverId, volumeId)],
      ] as const)
        expect(await readGuestDisk(chain)).toEqual(present.get(one))
      expect(await heldBy(then)).toEqual(held)
      expect(await cloud.audit(serverId)).toMatchObject({ live: false, settled: true, findings: [] })
      expect(await show(kept.id)).toMatchObject({ is_current: true })
      expect(acknowledged(cloud.console(serverId), disk).length).toBeGreaterThan(0)
      await cloud.deleteServer(serverId)
    },
    TIMEOUT,
  )
})
