/**
 * The pool is full: whatever needs room fails with a status and a sentence, leaves nothing, and works once there is room.
 * The pool is a file system of a few MiB in a mount namespace of the service's own, so no mount outlives it.
 */
import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createCloud, type Seen } from '../support/cloud.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const TIMEOUT = 180_000
const MIB = 1024 * 1024

let service: Service
const cloud = createCloud(() => service)
/** The pool as the service sees it. */
let pool: string

beforeAll(async () => {
  service = await startService({ tinyPool: '160m' })
  pool = `/proc/${service.process.pid}/root${cloud.pool()}`
}, TIMEOUT)
afterAll(async () => await service?.stop(), TIMEOUT)
afterEach(() => rmSync(join(pool, 'ballast'), { force: true }))

/** Leaves so many bytes. */
function fill(left: number): void {
  const { bavail, bsize } = statfsSync(pool)
  writeFileSync(join(pool, 'ballast'), Buffer.alloc(Math.max(0, bavail * bsize - left)))
}
const layers = (): string[] => readdirSync(pool).filter((name) => name !== 'ballast')
const messages = async (id: string): Promise<string[]> => {
  type Answer = { messages: { resource_uuid: string; user_message: string }[] }
  const headers = { 'openstack-api-version': 'volume 3.3' }
  const all = await cloud.call<Answer>('GET', '/volume/v3/messages', undefined, headers)
  return all.messages.filter((one) => one.resource_uuid === id).map((one) => one.user_message)
}
const ends = async (look: () => Promise<Seen>, passing: string): Promise<Seen> =>
  await until(async () => await look().then((seen) => seen.status !== passing && seen), { what: `the end of ${passing}` })

describe('a full pool', () => {
  it(
    'fails a new volume, and a retry works when there is room',
    async () => {
      const before = layers()
      fill(0)
      const { volume } = await cloud.call<{ volume: Seen }>('POST', '/volume/v3/volumes', { volume: { size: 1 } })
      expect((await ends(async () => await cloud.volume(volume.id), 'creating')).status).toBe('error')
      expect(await messages(volume.id)).toEqual([expect.stringContaining('create volume from backend storage:')])
      expect(layers()).toEqual(before)
      rmSync(join(pool, 'ballast'))
      await cloud.createVolume()
      await cloud.call('DELETE', `/volume/v3/volumes/${volume.id}`)
      await cloud.gone(`/volume/v3/volumes/${volume.id}`)
      expect(await cloud.settled()).toEqual([])
    },
    TIMEOUT,
  )

  it(
    'fails a snapshot, leaves the volume as it was, and a retry works when there is room',
    async () => {
      const volumeId = await cloud.createVolume()
      const before = layers()
      fill(0)
      const id = await cloud.requestSnapshot(volumeId)
      await cloud.snapshotBecomes(id, 'error')
      expect(await messages(id)).toEqual([expect.stringContaining('create snapshot:')])
      expect((await cloud.volume(volumeId)).status).toBe('available')
      expect(layers()).toEqual(before)
      await cloud.deleteSnapshot(id)
      rmSync(join(pool, 'ballast'))
      await cloud.snapshotBecomes(await cloud.requestSnapshot(volumeId), 'available')
      expect(await cloud.settled()).toEqual([])
    },
    TIMEOUT,
  )

  it(
    'fails the copy of a volume into an image, half way, and a retry works when there is room',
    async () => {
      const image = await cloud.upload('noise', 'raw', 'bare', randomBytes(4 * MIB))
      const volumeId = await cloud.createVolume({ imageRef: image })
      const before = layers()
      fill(2 * MIB)
      const request = { 'os-volume_upload_image': { image_name: 'copy', disk_format: 'qcow2', container_format: 'bare' } }
      type Answer = { 'os-volume_upload_image': { image_id: string } }
      const copy = async (): Promise<string> =>
        (await cloud.call<Answer>('POST', `/volume/v3/volumes/${volumeId}/action`, request))['os-volume_upload_image'].image_id
      const failed = await copy()
      await cloud.gone(`/image/v2/images/${failed}`)
      expect((await ends(async () => await cloud.volume(volumeId), 'uploading')).status).toBe('available')
      expect(await messages(volumeId)).toEqual([expect.stringContaining('copy volume to image:')])
      expect(await cloud.settled()).toEqual([])
      // One overlay may stay below the volume's new top until it is merged away: by now it is.
      expect(layers()).toHaveLength(before.length)
      rmSync(join(pool, 'ballast'))
      await cloud.imageBecomes(await copy(), 'active')
    },
    TIMEOUT,
  )
})
