/**
 * Snapshots of a volume that a real guest writes to without pause: what each holds is read from its layers and compared
 * with what the guest had acknowledged before it was asked for and after it was there.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cloud, createCloud } from '../support/cloud.js'
import { acknowledged, type GuestDiskContents, readGuestDisk } from '../support/guest-disk.js'
import { type Service, startService } from '../support/service.js'

const TIMEOUT = 240_000
/** Records that may be written between our look at the console and the POST's transaction, or on their way at the switch. */
const ON_THE_WAY = 2

let service: Service
let cloud: Cloud
beforeAll(async () => {
  service = await startService()
  cloud = createCloud(() => service)
}, TIMEOUT)
afterAll(async () => await service?.stop(), TIMEOUT)

interface Moment {
  readonly id: string
  /** Acknowledged when it was asked for. */
  readonly before: number
  /** Acknowledged when it was there. */
  readonly after: number
}

async function take(serverId: string, volumeId: string, disk: string): Promise<Moment> {
  await cloud.writesOn(serverId, disk, 5)
  const before = cloud.lastAck(serverId, disk)
  const id = await cloud.requestSnapshot(volumeId)
  await cloud.snapshotBecomes(id, 'available')
  return { id, before, after: cloud.lastAck(serverId, disk) }
}

function holdsItsMoment(contents: GuestDiskContents, { before, after }: Moment): void {
  expect(contents).toMatchObject({ consistent: true, intact: true, odd: [] })
  expect(contents.last).toBeGreaterThanOrEqual(before)
  expect(contents.last).toBeLessThanOrEqual(after + ON_THE_WAY)
}

describe('a live snapshot during continuous writes', () => {
  it(
    'of a guest with an agent holds exactly its moment, clean, and what is written on survives its deletion',
    async () => {
      const serverId = await cloud.boot(await cloud.guestImage({ hw_qemu_guest_agent: 'yes' }))
      const volumeId = await cloud.createVolume()
      const { disk } = await cloud.attach(serverId, volumeId)
      const moments: Moment[] = []
      for (let n = 0; n < 3; n++) moments.push(await take(serverId, volumeId, disk))
      for (const moment of moments) {
        expect((await cloud.report(moment.id)).consistency).toMatchObject({
          requested: 'best_effort',
          reached: 'filesystem',
          degraded_reason: null,
        })
        const contents = await readGuestDisk(await cloud.snapshotChain(moment.id))
        expect(contents).toMatchObject({ clean: true, torn: false })
        holdsItsMoment(contents, moment)
      }

      // The guest itself finds in a volume made of the snapshot what the snapshot's layers hold.
      const second = moments[1] as Moment
      const held = await readGuestDisk(await cloud.snapshotChain(second.id))
      const clone = await cloud.createVolume({ snapshot_id: second.id })
      const seen = await cloud.attach(serverId, clone)
      expect(seen.last).toBe(held.last)
      await cloud.writesOn(serverId, seen.disk, 3)
      expect(await readGuestDisk(await cloud.snapshotChain(second.id))).toEqual(held)
      await cloud.detach(serverId, clone)

      for (const { id } of [moments[1], moments[0], moments[2]] as Moment[]) {
        await cloud.deleteSnapshot(id)
        await cloud.writesOn(serverId, disk, 3)
      }
      expect(await cloud.settled()).toEqual([])
      expect(await cloud.audit(serverId)).toMatchObject({ live: true, settled: true, findings: [] })
      await cloud.stopServer(serverId)

      const told = acknowledged(cloud.console(serverId), disk)
      expect(told).toEqual(told.map((_, index) => index + 1))
      const final = await readGuestDisk(await cloud.diskChain(serverId, volumeId))
      expect(final).toMatchObject({ consistent: true, intact: true })
      expect(final.last).toBeGreaterThanOrEqual(told.length)
      // The clone still needs what its snapshot shared with the volume; nothing else is left of the three.
      expect((await cloud.diskChain(serverId, volumeId)).length).toBeLessThanOrEqual(2)
      await cloud.deleteServer(serverId)
    },
    TIMEOUT,
  )

  it(
    'of a guest without an agent is that of a power cut, which replaying the journal recovers',
    async () => {
      const serverId = await cloud.boot(await cloud.guestImage())
      const volumeId = await cloud.createVolume()
      const { disk } = await cloud.attach(serverId, volumeId)
      const moment = await take(serverId, volumeId, disk)
      expect((await cloud.report(moment.id)).consistency).toMatchObject({ requested: 'none', reached: 'crash', frozen_seconds: null })
      holdsItsMoment(await readGuestDisk(await cloud.snapshotChain(moment.id)), moment)
      const clone = await cloud.createVolume({ snapshot_id: moment.id })
      expect((await cloud.attach(serverId, clone)).last).toBeGreaterThanOrEqual(moment.before)
      await cloud.deleteServer(serverId)
      await cloud.deleteSnapshot(moment.id)
    },
    TIMEOUT,
  )
})
