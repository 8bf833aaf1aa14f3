/**
 * Images of a server with a disk of its own, made while it runs, is paused and is stopped: the server stays what it was, the
 * guest is never paused for it, and the image holds what its disk held at that moment.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { shortId } from '../../src/domain/names.js'
import { createCloud, type Seen } from '../support/cloud.js'
import { type DiskLayer, type GuestDiskContents, readGuestDisk } from '../support/guest-disk.js'
import { type PersonsMonitor, personsMonitor } from '../support/people.js'
import { type Service, startService } from '../support/service.js'

const run = promisify(execFile)
const TIMEOUT = 120_000
/** Records that may be written between our look at the console and the POST's transaction, or on their way at the switch. */
const ON_THE_WAY = 2
const TASKS = ['image_snapshot_pending', 'image_snapshot', 'image_pending_upload', 'image_uploading', null]
const TASK = 'OS-EXT-STS:task_state'

let service: Service
const cloud = createCloud(() => service)
let guestImage: string
let serverId: string
let monitor: PersonsMonitor
beforeAll(async () => {
  service = await startService()
  guestImage = await cloud.guestImage({ hw_qemu_guest_agent: 'yes', os_distro: 'tiny', cache_in_nova: 'True' })
  serverId = await cloud.boot(guestImage)
  monitor = await personsMonitor(join(service.stateDir, 'run', shortId(serverId)))
}, TIMEOUT)
afterAll(async () => {
  monitor?.close()
  await service?.stop()
}, TIMEOUT)

/** Asks and watches until the image is there: every task the server showed, in order, and that its status never changed. */
async function imageOf(name: string, status: string): Promise<Seen> {
  const headers = { 'openstack-api-version': 'compute 2.45' }
  const request = { createImage: { name, metadata: { purpose: name } } }
  const made = await cloud.call<{ image_id: string }>('POST', `/compute/v2.1/servers/${serverId}/action`, request, headers)
  const tasks: unknown[] = []
  for (;;) {
    const image = await cloud.image(made.image_id).catch(async (error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify((await cloud.jobs()).filter((job) => job.error !== null))}`)
    })
    const server = await cloud.server(serverId)
    expect(server.status).toBe(status)
    if (tasks.at(-1) !== server[TASK]) tasks.push(server[TASK])
    if (image.status === 'active') break
    expect(['queued', 'saving']).toContain(image.status)
    expect(image).toMatchObject({ checksum: null })
  }
  const image = await cloud.image(made.image_id)
  expect(await cloud.server(serverId)).toMatchObject({ status, [TASK]: null })
  const order = tasks.map((task) => TASKS.indexOf(task as string | null))
  expect(order).toEqual([...order].sort((a, b) => a - b))
  expect(order).not.toContain(-1)
  expect(order[0]).toBeLessThan(TASKS.length - 1)
  return image
}

/** Its file, as a client gets it. */
async function fileOf(image: Seen): Promise<DiskLayer> {
  const bytes = await cloud.download(image.id)
  const hex = (algorithm: string): string => createHash(algorithm).update(bytes).digest('hex')
  expect(image).toMatchObject({ size: bytes.length, checksum: hex('md5'), os_hash_algo: 'sha512', os_hash_value: hex('sha512') })
  const path = join(service.stateDir, `${image.id}.qcow2`)
  await writeFile(path, bytes)
  await run('qemu-img', ['check', '-q', '-f', 'qcow2', path])
  const { stdout } = await run('qemu-img', ['info', '-f', 'qcow2', '--output=json', path])
  expect(JSON.parse(stdout)).not.toHaveProperty('backing-filename')
  return { path, format: 'qcow2' }
}

async function contentsOf(image: Seen): Promise<GuestDiskContents> {
  const file = await fileOf(image)
  const contents = await readGuestDisk([file])
  await rm(file.path)
  expect(contents).toMatchObject({ consistent: true, intact: true })
  return contents
}

it(
  'of a running server is taken while the guest goes on, frozen for its moment, and says what Nova says',
  async () => {
    await cloud.writesOn(serverId, 'vda', 5)
    const before = cloud.lastAck(serverId, 'vda')
    const image = await imageOf('running', 'ACTIVE')
    const after = cloud.lastAck(serverId, 'vda')
    expect(monitor.events).not.toContain('STOP')
    const made = await cloud.server(serverId)
    expect(image).toMatchObject({
      name: 'running',
      visibility: 'private',
      disk_format: 'qcow2',
      container_format: 'bare',
      min_disk: 1,
      virtual_size: 1024 ** 3,
      image_type: 'snapshot',
      instance_uuid: serverId,
      owner: made['tenant_id'],
      owner_id: made['tenant_id'],
      user_id: made['user_id'],
      base_image_ref: guestImage,
      image_state: 'available',
      image_location: 'snapshot',
      owner_user_name: 'admin',
      owner_project_name: 'admin',
      purpose: 'running',
      hw_qemu_guest_agent: 'yes',
      os_distro: 'tiny',
    })
    expect(image).not.toHaveProperty('cache_in_nova')
    const contents = await contentsOf(image)
    expect(contents.clean).toBe(true)
    expect(contents.last).toBeGreaterThanOrEqual(before)
    expect(contents.last).toBeLessThanOrEqual(after + ON_THE_WAY)
    await cloud.writesOn(serverId, 'vda', 3)
  },
  TIMEOUT,
)

it(
  'of a paused server is its disk as it stands, and the server stays paused',
  async () => {
    await cloud.act(serverId, { pause: null })
    await cloud.serverBecomes(serverId, 'PAUSED', ['ACTIVE'])
    const seen = monitor.events.length
    const last = cloud.lastAck(serverId, 'vda')
    const image = await imageOf('paused', 'PAUSED')
    expect(await monitor.execute('query-status')).toMatchObject({ status: 'paused' })
    expect(monitor.events.slice(seen)).not.toContain('RESUME')
    const contents = await contentsOf(image)
    expect(contents.last).toBeGreaterThanOrEqual(last)
    expect(contents.last).toBeLessThanOrEqual(last + ON_THE_WAY)
    expect(cloud.lastAck(serverId, 'vda')).toBe(last)
    await cloud.act(serverId, { unpause: null })
    await cloud.serverBecomes(serverId, 'ACTIVE', ['PAUSED'])
    await cloud.writesOn(serverId, 'vda', 3)
  },
  TIMEOUT,
)

it(
  'of a stopped server is its disk, byte for byte, and nothing is left over',
  async () => {
    await cloud.stopServer(serverId)
    const image = await imageOf('stopped', 'SHUTOFF')
    const file = await fileOf(image)
    // Layers are merged away meanwhile: what the disk reads as does not change.
    expect(await cloud.settled()).toEqual([])
    const [top] = await cloud.diskChain(serverId, null)
    await run('qemu-img', ['compare', '-q', '-f', 'qcow2', '-F', 'qcow2', file.path, top?.path ?? ''])
    const contents = await readGuestDisk([file])
    expect(contents).toMatchObject({ consistent: true, intact: true })
    expect(contents.last).toBeGreaterThanOrEqual(cloud.lastAck(serverId, 'vda'))

    expect(await cloud.audit(serverId)).toMatchObject({ settled: true, findings: [] })
    // What was sealed for the three images is merged away again: the root stands on its image alone.
    expect(await cloud.diskChain(serverId, null)).toHaveLength(2)
  },
  TIMEOUT,
)
