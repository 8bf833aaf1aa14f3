/**
 * A real guest whose memory is saved and restored. It writes numbered records all the time, counting in its memory, and says
 * READY once when it boots: one that goes on with the next number and never says it again has not booted in between.
 */
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCloud, type Seen } from '../support/cloud.js'
import { readGuestDisk } from '../support/guest-disk.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const TIMEOUT = 240_000

let service: Service
const cloud = createCloud(() => service)
let serverId: string
let volumeId: string
let disk: string

beforeAll(async () => {
  service = await startService({ args: ['--save-guests'] })
  serverId = await cloud.boot(await cloud.guestImage({ hw_qemu_guest_agent: 'yes' }))
  volumeId = await cloud.createVolume()
  disk = (await cloud.attach(serverId, volumeId)).disk
  await cloud.writesOn(serverId, disk, 5)
}, TIMEOUT)
afterAll(async () => await service?.stop(), TIMEOUT)

const hasQemu = async (): Promise<boolean> => (await readdir(join(service.stateDir, 'guests'))).includes(`${serverId}.pid`)
const savedFiles = async (): Promise<string[]> => (await readdir(cloud.pool())).filter((name) => name.includes('.mem'))

const state = (): string => `/strata/v1/servers/${serverId}/managed-save`

/** It counts on: the next numbers, with no boot before them. */
async function goesOn(last: number): Promise<void> {
  await until(() => cloud.lastAck(serverId, disk) > last, { what: `records after ${last}`, timeoutMs: 60_000 })
  const console = cloud.console(serverId)
  expect(console).not.toContain('READY')
  const first = Number(new RegExp(`^ACK ${disk} (\\d+)`, 'm').exec(console)?.[1])
  // What it had said and what was on its way to the serial line when it was stopped.
  expect(first).toBeGreaterThanOrEqual(last)
  expect(first).toBeLessThanOrEqual(last + 3)
}

describe("a real guest's memory", () => {
  it(
    'is suspended and resumed by Nova, with a snapshot taken in between',
    async () => {
      await cloud.act(serverId, { suspend: null })
      await cloud.serverBecomes(serverId, 'SUSPENDED', ['ACTIVE'])
      const last = cloud.lastAck(serverId, disk)
      expect(await hasQemu()).toBe(false)
      expect(await savedFiles()).toHaveLength(1)
      const { managed_save } = await service.call<{ managed_save: Seen }>('GET', state())
      expect(managed_save).toMatchObject({ status: 'saved', was: 'running', resume_at_start: false })
      await expect(cloud.detach(serverId, volumeId)).rejects.toThrow('while it has a saved state')
      const snapshotId = await cloud.requestSnapshot(volumeId)
      await cloud.snapshotBecomes(snapshotId, 'available')
      expect((await cloud.report(snapshotId)).consistency?.reached).toBe('offline')
      const held = await readGuestDisk(await cloud.snapshotChain(snapshotId))

      await cloud.act(serverId, { resume: null })
      await cloud.serverBecomes(serverId, 'ACTIVE', ['SUSPENDED'])
      await goesOn(last)
      expect(held).toMatchObject({ consistent: true, intact: true })
      expect(held.last).toBeGreaterThanOrEqual(last)
      expect(await savedFiles()).toEqual([])
      // Its agent is there again, and its disks are where they were.
      const live = await cloud.requestSnapshot(volumeId)
      await cloud.snapshotBecomes(live, 'available')
      expect((await cloud.report(live)).consistency?.reached).toBe('filesystem')
      expect(await cloud.audit(serverId)).toMatchObject({ live: true, findings: [] })
      for (const id of [live, snapshotId]) await cloud.deleteSnapshot(id)
      await cloud.writesOn(serverId, disk, 3)
      expect(await cloud.settled()).toEqual([])
    },
    TIMEOUT,
  )

  it(
    'is saved when the service is asked to stop, and restored when it starts again',
    async () => {
      await cloud.writesOn(serverId, disk, 3)
      service.process.kill('SIGTERM')
      await until(() => service.process.exitCode !== null, { what: 'the service to end', timeoutMs: 30_000 })
      expect(await hasQemu()).toBe(false)
      expect(await savedFiles()).toHaveLength(1)
      const last = cloud.lastAck(serverId, disk)
      service = await service.restart()
      await cloud.serverBecomes(serverId, 'ACTIVE', ['SUSPENDED'])
      await goesOn(last)
      expect(await savedFiles()).toEqual([])
    },
    TIMEOUT,
  )

  it(
    'that was changed is refused before QEMU starts, and can be given up for a start from power-off',
    async () => {
      await service.call('POST', state())
      await cloud.serverBecomes(serverId, 'SHUTOFF', ['ACTIVE'])
      const last = cloud.lastAck(serverId, disk)
      const [name = ''] = await savedFiles()
      const file = await open(join(cloud.pool(), name), 'r+')
      const { size } = await file.stat()
      const byte = Buffer.alloc(1)
      await file.read(byte, 0, 1, size >> 1)
      await file.write(Buffer.from([(byte[0] ?? 0) ^ 0x10]), 0, 1, size >> 1)
      await file.close()
      const console = cloud.console(serverId)
      await cloud.act(serverId, { 'os-start': null })
      await cloud.settled()
      const [job] = await cloud.jobs('&operation=restore-server&state=failed')
      expect(job?.error).toContain('is not as it was saved. Discard it')
      expect((await cloud.server(serverId)).status).toBe('SHUTOFF')
      // A QEMU that had started would have begun a new log.
      expect(cloud.console(serverId)).toBe(console)
      expect(await savedFiles()).toEqual([name])

      await service.call('DELETE', state())
      await cloud.act(serverId, { 'os-start': null })
      await cloud.serverBecomes(serverId, 'ACTIVE', ['SHUTOFF'])
      const [, mounted] = await cloud.says(serverId, new RegExp(`^MOUNTED ${disk} serial=\\S* last=(\\d+)`, 'm'))
      expect(Number(mounted)).toBeGreaterThanOrEqual(last)
      expect(await savedFiles()).toEqual([])
    },
    TIMEOUT,
  )
})
