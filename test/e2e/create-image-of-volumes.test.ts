/**
 * Images of servers whose disks are volumes: a snapshot of each, all at one instant, and an image that points at them. From
 * such an image boots a server with volumes of its own, where the guest finds what the first one wrote.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { formatNode, shortId } from '../../src/domain/names.js'
import { createCloud, type Seen } from '../support/cloud.js'
import { acknowledged } from '../support/guest-disk.js'
import { type PersonsMonitor, personsMonitor } from '../support/people.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const run = promisify(execFile)
const TIMEOUT = 150_000
const BLOCK = 4096
const DISKS = 4
const ROUNDS = 6

let service: Service
const cloud = createCloud(() => service)
beforeEach(async () => {
  service = await startService()
}, TIMEOUT)
afterEach(async () => await service?.stop(), TIMEOUT)

interface Mapped {
  readonly snapshot_id: string
  readonly boot_index: number | null
  readonly device_name: string
  readonly delete_on_termination: boolean
}
const mappingOf = (image: Seen): Mapped[] => JSON.parse(String(image['block_device_mapping']))
const onVolume = (uuid: string, boot_index: number, delete_on_termination: boolean): object => ({
  uuid,
  source_type: 'volume',
  destination_type: 'volume',
  boot_index,
  delete_on_termination,
})

async function createImage(serverId: string, name: string): Promise<Seen> {
  const headers = { 'openstack-api-version': 'compute 2.45' }
  const path = `/compute/v2.1/servers/${serverId}/action`
  const made = await cloud.call<{ image_id: string }>('POST', path, { createImage: { name } }, headers)
  return await cloud.imageBecomes(made.image_id, 'active')
}

/**
 * Writes block n of the last disk, then of the one before it and so on to the first, as a guest's drivers would, then n + 1:
 * against the order of the snapshots, so that disks that were not switched at once show it.
 */
function inTurn(monitor: PersonsMonitor, devices: readonly string[]) {
  let next = 0
  let stopped = false
  const write = async (device: string): Promise<void> => {
    const line = `qemu-io -d ${device} "write -P ${(next % 255) + 1} ${next * BLOCK} ${BLOCK}"`
    await monitor.execute('human-monitor-command', { 'command-line': line })
  }
  const ended = (async () => {
    for (; !stopped; next++) for (const device of devices.toReversed()) await write(device)
  })()
  return {
    next: () => next,
    async stop() {
      stopped = true
      await ended
    },
  }
}

/** How many blocks from the first on hold what was written there; after them there must be none. */
async function written(snapshotId: string, most: number, dir: string): Promise<number> {
  const raw = join(dir, `${snapshotId}.raw`)
  const [top] = await cloud.snapshotChain(snapshotId)
  await run('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', top?.path ?? '', raw])
  const file = await open(raw)
  const { buffer } = await file.read(Buffer.alloc((most + 8) * BLOCK), { position: 0 })
  await file.close()
  await rm(raw)
  const isWritten = (n: number): boolean => buffer.subarray(n * BLOCK, (n + 1) * BLOCK).every((byte) => byte === (n % 255) + 1)
  let count = 0
  while (count < most + 8 && isWritten(count)) count++
  expect(buffer.subarray(count * BLOCK).every((byte) => byte === 0)).toBe(true)
  return count
}

it(
  'of disks written in turn holds all of them at one instant, however often it is made',
  async () => {
    const dir = await mkdtemp('/tmp/st-')
    let monitor: PersonsMonitor | undefined
    let writer: ReturnType<typeof inTurn> | undefined
    try {
      const volumes = await Promise.all(Array.from({ length: DISKS }, async () => await cloud.createVolume()))
      await cloud.call('POST', `/volume/v3/volumes/${volumes[0]}/action`, { 'os-set_bootable': { bootable: true } })
      const devices = volumes.map((id, index) => onVolume(id, index === 0 ? 0 : -1, false))
      const body = { name: 'vm', flavorRef: '1', networks: 'none', block_device_mapping_v2: devices }
      const headers = { 'openstack-api-version': 'compute 2.37' }
      const { server } = await cloud.call<{ server: Seen }>('POST', '/compute/v2.1/servers', { server: body }, headers)
      await cloud.serverBecomes(server.id, 'ACTIVE', ['BUILD'])
      monitor = await personsMonitor(join(service.stateDir, 'run', shortId(server.id)))
      const { disks } = await cloud.audit(server.id)
      const blocks = (await monitor.execute('query-block')) as { qdev?: string; inserted?: { 'node-name': string } }[]
      const deviceOf = (volumeId: string): string => {
        const top = disks.find((disk) => disk.volume_id === volumeId)?.layers[0]?.id ?? ''
        return blocks.find((block) => block.inserted?.['node-name'] === formatNode(top))?.qdev ?? 'none'
      }
      writer = inTurn(monitor, volumes.map(deviceOf))
      for (let round = 0; round < ROUNDS; round++) {
        const from = writer.next()
        const { next } = writer
        await until(() => next() > from + 10, { what: 'the guest to write' })
        const before = writer.next()
        const image = await createImage(server.id, `round ${round}`)
        const after = writer.next()
        expect(image).toMatchObject({ bdm_v2: 'True', root_device_name: '/dev/vda', size: 0, checksum: 'd41d8cd98f00b204e9800998ecf8427e' })
        const mapping = mappingOf(image)
        expect(mapping.map((one) => one.device_name)).toEqual(['/dev/vda', '/dev/vdb', '/dev/vdc', '/dev/vdd'])
        expect(mapping.map((one) => one.boot_index)).toEqual([0, null, null, null])
        const counts: number[] = []
        for (const [index, { snapshot_id: id }] of mapping.entries()) {
          const name = `snapshot for round ${round}`
          expect(await cloud.snapshot(id)).toMatchObject({ status: 'available', name, volume_id: volumes[index] })
          expect((await cloud.report(id)).consistency).toMatchObject({ requested: 'none', reached: 'crash_group' })
          counts.push(await written(id, after, dir))
        }
        const [first = 0, last = 0] = [counts[0], counts.at(-1)]
        // At any instant the later disks are at most one write ahead of the earlier ones, and never behind.
        expect(counts).toEqual([...counts].sort((a, b) => a - b))
        expect([first, first + 1], `blocks on the disks: ${counts}`).toContain(last)
        expect(first).toBeGreaterThanOrEqual(before)
        expect(last).toBeLessThanOrEqual(after + 1)
      }
      expect(monitor.events).not.toContain('STOP')
      const jobs = await cloud.jobs('&operation=create-snapshot')
      expect(jobs.map((job) => job.state)).toEqual(Array(ROUNDS).fill('done'))
    } finally {
      await writer?.stop()
      monitor?.close()
      await rm(dir, { recursive: true, force: true })
    }
    expect(await cloud.settled()).toEqual([])
  },
  TIMEOUT,
)

it(
  'boots as a server whose volumes are made of the snapshots, and whose guest goes on where the first was',
  async () => {
    const root = await cloud.createVolume({ imageRef: await cloud.guestImage() })
    const data = await cloud.createVolume()
    const first = await cloud.boot(null, { block_device_mapping_v2: [onVolume(root, 0, true), onVolume(data, -1, false)] })
    const before = { vda: await cloud.writesOn(first, 'vda', 3), vdb: await cloud.writesOn(first, 'vdb', 3) }
    const image = await createImage(first, 'whole')
    const after = { vda: cloud.lastAck(first, 'vda'), vdb: cloud.lastAck(first, 'vdb') }
    const mapping = mappingOf(image)
    expect(mapping.map((one) => one.delete_on_termination)).toEqual([true, false])
    await cloud.deleteServer(first)
    // The root was to go with its server; its snapshot keeps it, as Cinder refuses to delete what has one.
    expect((await cloud.volume(data)).status).toBe('available')

    const second = await cloud.boot(image.id)
    const attached = (await cloud.server(second))['os-extended-volumes:volumes_attached'] as { id: string }[]
    const volumes = await Promise.all(attached.map(async ({ id }) => await cloud.volume(id)))
    const bySnapshot = mapping.map(({ snapshot_id }) => volumes.find((volume) => volume['snapshot_id'] === snapshot_id))
    expect(volumes).toHaveLength(2)
    expect(bySnapshot.map((volume) => volume?.status)).toEqual(['in-use', 'in-use'])
    for (const disk of ['vda', 'vdb'] as const) {
      const [, last] = await cloud.says(second, new RegExp(`^MOUNTED ${disk} serial=\\S* last=(\\d+)`, 'm'))
      expect(Number(last)).toBeGreaterThanOrEqual(before[disk])
      expect(Number(last)).toBeLessThanOrEqual(after[disk] + 2)
      await cloud.writesOn(second, disk, 2)
      expect(acknowledged(cloud.console(second), disk)[0]).toBe(Number(last) + 1)
    }
    await cloud.deleteServer(second)
    // What the image said of each volume is kept: the root goes, the data stays.
    await cloud.gone(`/volume/v3/volumes/${bySnapshot[0]?.id}`)
    expect((await cloud.volume(bySnapshot[1]?.id ?? '')).status).toBe('available')
    expect(await cloud.settled()).toEqual([])
  },
  TIMEOUT,
)
