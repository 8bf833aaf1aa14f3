/**
 * A volume written out as an image, in every format: what is downloaded is opened by qemu's tools and compared with what the
 * volume was made of. No guest: the bytes are the whole matter.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCloud } from '../support/cloud.js'
import { type Service, startService } from '../support/service.js'

const run = promisify(execFile)
const TIMEOUT = 120_000
const GIB = 1024 ** 3
/** What qemu calls them. */
const DRIVERS = { qcow2: 'qcow2', raw: 'raw', vmdk: 'vmdk', vdi: 'vdi', vhd: 'vpc', vhdx: 'vhdx', ploop: 'parallels' }

let service: Service
const cloud = createCloud(() => service)
let dir: string
let original: string
let volumeId: string
beforeAll(async () => {
  service = await startService()
  dir = await mkdtemp('/tmp/st-')
  original = join(dir, 'original.qcow2')
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', original, '1G'])
  const written = ['write -P 17 0 64k', 'write -P 34 300M 1M', 'write -P 51 1048512k 64k', 'write -P 0 400M 1M']
  await run('qemu-io', ['-f', 'qcow2', ...written.flatMap((one) => ['-c', one]), original])
  const imageId = await cloud.upload('original', 'qcow2', 'bare', await readFile(original), { os_distro: 'none' })
  volumeId = await cloud.createVolume({ imageRef: imageId })
}, TIMEOUT)
afterAll(async () => {
  await service?.stop()
  if (dir !== undefined) await rm(dir, { recursive: true, force: true })
}, TIMEOUT)

async function written(format: string, from = volumeId): Promise<string> {
  const request = { 'os-volume_upload_image': { image_name: format, disk_format: format, container_format: 'bare' } }
  type Answer = { 'os-volume_upload_image': { image_id: string } }
  const answer = await cloud.call<Answer>('POST', `/volume/v3/volumes/${from}/action`, request)
  const { image_id: imageId } = answer['os-volume_upload_image']
  await cloud.imageBecomes(imageId, 'active')
  expect((await cloud.volume(from)).status).toBe('available')
  return imageId
}

/** Downloaded, with the image's own checksums, and the same disk as `original`. */
async function holdsTheSame(imageId: string, format: keyof typeof DRIVERS): Promise<void> {
  const bytes = await cloud.download(imageId)
  const hex = (algorithm: string): string => createHash(algorithm).update(bytes).digest('hex')
  expect(await cloud.image(imageId)).toMatchObject({
    disk_format: format,
    container_format: 'bare',
    size: bytes.length,
    virtual_size: GIB,
    min_disk: 1,
    checksum: hex('md5'),
    os_hash_algo: 'sha512',
    os_hash_value: hex('sha512'),
    os_distro: 'none',
  })
  const path = join(dir, `copy.${format}`)
  await writeFile(path, bytes)
  const driver = DRIVERS[format]
  const { stdout } = await run('qemu-img', ['info', '-f', driver, '--output=json', path])
  expect(JSON.parse(stdout)['virtual-size']).toBe(GIB)
  await run('qemu-img', ['compare', '-q', '-f', 'qcow2', '-F', driver, original, path])
  await rm(path)
}

it.each(['qcow2', 'vmdk', 'vdi', 'vhd', 'vhdx', 'ploop'] as const)(
  'a volume written out as %s is that disk, of the size it says, with the checksums it says',
  async (format) => {
    const imageId = await written(format)
    await holdsTheSame(imageId, format)
    await cloud.call('DELETE', `/image/v2/images/${imageId}`)
  },
  TIMEOUT,
)

it(
  'a volume written out as raw is that disk, and a volume made of it too',
  async () => {
    const before = new Set(cloud.layerFiles())
    const imageId = await written('raw')
    const [name = '', ...more] = cloud.layerFiles().filter((one) => one.endsWith('.raw') && !before.has(one))
    expect(more).toEqual([])
    const path = join(cloud.pool(), name)
    // Where it lies: to send and hash a GiB of zeros in this process proves no more.
    await run('qemu-img', ['compare', '-q', '-f', 'qcow2', '-F', 'raw', original, path])
    const [md5] = (await run('md5sum', [path])).stdout.split(' ')
    expect(await cloud.image(imageId)).toMatchObject({ disk_format: 'raw', size: GIB, virtual_size: GIB, min_disk: 1, checksum: md5 })
    const range = { 'x-auth-token': await service.token(), range: `bytes=${300 * 1024 ** 2 - 1}-${300 * 1024 ** 2}` }
    const part = await fetch(`${service.url}/image/v2/images/${imageId}/file`, { headers: range })
    expect([part.status, [...new Uint8Array(await part.arrayBuffer())]]).toEqual([206, [0, 34]])

    const again = await cloud.createVolume({ imageRef: imageId })
    await holdsTheSame(await written('qcow2', again), 'qcow2')
    expect(await cloud.settled()).toEqual([])
  },
  TIMEOUT,
)

it(
  'a volume written out in a format of others is no disk here',
  async () => {
    const foreign = await written('vmdk')
    const said = /400.*unacceptable.*'vmdk' can only be downloaded/
    await expect(cloud.call('POST', '/volume/v3/volumes', { volume: { size: 1, imageRef: foreign } })).rejects.toThrow(said)
    const server = { name: 'vm', flavorRef: '1', networks: 'none', imageRef: foreign }
    const headers = { 'openstack-api-version': 'compute 2.37' }
    await expect(cloud.call('POST', '/compute/v2.1/servers', { server }, headers)).rejects.toThrow(said)
    const device = { uuid: foreign, source_type: 'image', destination_type: 'volume', boot_index: 0, volume_size: 1 }
    const onVolume = { name: 'vm', flavorRef: '1', networks: 'none', block_device_mapping_v2: [device] }
    await expect(cloud.call('POST', '/compute/v2.1/servers', { server: onVolume }, headers)).rejects.toThrow(said)
  },
  TIMEOUT,
)
