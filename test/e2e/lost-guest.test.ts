/** QEMU itself is killed while a snapshot is taken and while a merge runs: the server is off and has a fault, what ran has ended, and it starts with its data. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../../db/connection.js'
import { ANY } from '../../src/ports/stores.js'
import { createCloud, damaged } from '../support/cloud.js'
import { readGuestDisk } from '../support/guest-disk.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const TIMEOUT = 180_000
const settings = { STRATA_LEASE_MS: '3000', STRATA_POLL_INTERVAL_MS: '100' }

let service: Service
const cloud = createCloud(() => service)
let serverId: string
let volumeId: string
let disk: string

beforeAll(async () => {
  service = await startService({ env: settings })
  serverId = await cloud.boot(await cloud.guestImage({ hw_qemu_guest_agent: 'yes' }))
  volumeId = await cloud.createVolume()
  disk = (await cloud.attach(serverId, volumeId)).disk
  await cloud.writesOn(serverId, disk, 5)
}, TIMEOUT)
afterAll(async () => await service?.stop(), TIMEOUT)

function killQemu(): void {
  const pid = Number(readFileSync(join(service.stateDir, 'guests', `${serverId}.pid`), 'utf8'))
  if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(service.stateDir)) throw new Error(`${pid} is not our guest`)
  process.kill(pid, 'SIGKILL')
}

/** A kill may tear the line that was being written, never one that was acknowledged. */
function missing(records: readonly number[], last: number): number[] {
  const there = new Set(records)
  return Array.from({ length: last }, (_, index) => index + 1).filter((n) => !there.has(n))
}

/** Off with a reason, everything ended, all that was acknowledged on disk; then on again, and the guest goes on from there. */
async function comesBack(): Promise<void> {
  const off = await cloud.serverBecomes(serverId, 'SHUTOFF', ['ACTIVE'])
  expect(off['OS-EXT-STS:task_state']).toBeNull()
  // Nova shows a fault in ERROR only; it is kept until the next start.
  const db = await openDatabase({ url: `sqlite:${join(service.stateDir, 'strata.sqlite')}` })
  expect((await db.read.servers.find(ANY, serverId))?.fault).toMatchObject({ code: 500, message: expect.stringMatching(/\w/) })
  await db.close()
  expect(await cloud.settled()).toEqual([])
  expect(await cloud.audit(serverId)).toMatchObject({ live: false, settled: true, findings: [] })
  expect(await damaged(cloud.pool(), 'allowed')).toEqual([])
  const last = cloud.lastAck(serverId, disk)
  const contents = await readGuestDisk(await cloud.diskChain(serverId, volumeId))
  expect(contents.consistent).toBe(true)
  expect(missing(contents.records, last)).toEqual([])
  // A start begins a new log.
  await cloud.act(serverId, { 'os-start': null })
  await cloud.serverBecomes(serverId, 'ACTIVE', ['SHUTOFF'])
  const [, mounted] = await cloud.says(serverId, new RegExp(`^MOUNTED ${disk} serial=\\S* last=(\\d+)`, 'm'))
  expect(Number(mounted)).toBeGreaterThanOrEqual(last)
  await cloud.says(serverId, /^READY/m)
  await cloud.writesOn(serverId, disk, 5)
}

describe('a guest whose QEMU is killed', () => {
  it.each([0, 15, 40])(
    'during snapshots, %i ms after they were asked for',
    async (millis) => {
      const before = cloud.lastAck(serverId, disk)
      const at = performance.now() + millis
      const ids = await Promise.all([cloud.requestSnapshot(volumeId), cloud.requestSnapshot(volumeId)])
      await until(() => performance.now() >= at, { what: 'the moment', everyMs: 1 })
      killQemu()
      await comesBack()
      for (const id of ids) {
        const { status } = await cloud.snapshot(id)
        expect(['available', 'error']).toContain(status)
        if (status === 'available') {
          const contents = await readGuestDisk(await cloud.snapshotChain(id))
          expect(contents.consistent).toBe(true)
          expect(missing(contents.records, before)).toEqual([])
        }
      }
      // Only now: what is deleted is merged, and a merge has the layer above it open for writing.
      for (const id of ids) await cloud.deleteSnapshot(id)
      expect(await cloud.settled()).toEqual([])
    },
    TIMEOUT,
  )

  it(
    'during a merge, which ends without it',
    async () => {
      const kept = await cloud.requestSnapshot(volumeId)
      await cloud.snapshotBecomes(kept, 'available')
      await cloud.writesOn(serverId, disk, 40)
      const doomed = await cloud.requestSnapshot(volumeId)
      await cloud.snapshotBecomes(doomed, 'available')
      await cloud.writesOn(serverId, disk, 40)
      const held = await readGuestDisk(await cloud.snapshotChain(kept))
      await cloud.deleteSnapshot(doomed)
      await until(async () => (await cloud.jobs('&operation=merge-layer')).some((job) => job.state === 'running' || job.state === 'done'), {
        what: 'the merge to begin',
        everyMs: 1,
      })
      killQemu()
      await comesBack()
      expect(await readGuestDisk(await cloud.snapshotChain(kept))).toEqual(held)
      expect(await cloud.snapshotChain(kept)).toHaveLength(1)
    },
    TIMEOUT,
  )
})
