import { createHash, randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/host/clock.js'
import { ANY } from '../../src/ports/stores.js'
import { emptyImage } from '../../src/qemu/qcow2-header.js'
import { DEFAULT_SETTINGS } from '../../src/services/deps.js'
import { covers, HOST_ID, openApi, type TestApi } from '../support/api.js'
import { createImportWorker } from '../support/import-worker.js'
import { until } from '../support/until.js'

let api: TestApi
const worker = createImportWorker()
beforeAll(async () => {
  api = await openApi({ services: { doorbell: worker.doorbell } })
  await worker.start(api.db, HOST_ID)
})
afterAll(async () => {
  await worker.stop()
  await api.close()
})

type Role = Parameters<TestApi['caller']>[0]
const create = async (format = 'raw', body: object = {}): Promise<string> =>
  (
    await api
      .as('member')
      .post('/image/v2/images')
      .send({ disk_format: format, container_format: 'bare', ...body })
      .expect(201)
  ).body.id
const file = (id: string): string => `/image/v2/images/${id}/file`
const upload = (id: string, bytes: Buffer, role: Role = 'member', type = 'application/octet-stream') =>
  api.as(role).put(file(id)).set('Content-Type', type).send(bytes)
const download = (id: string, headers: Record<string, string> = {}, role: Role = 'member') =>
  api
    .as(role, headers)
    .get(file(id))
    .buffer(true)
    .parse((response, done) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => done(null, Buffer.concat(chunks)))
    })
const show = async (id: string) => (await api.as('member').get(`/image/v2/images/${id}`).expect(200)).body
const qcow2 = (backing: Parameters<typeof emptyImage>[1]): Buffer => {
  const { parts, length } = emptyImage(1 << 20, backing)
  const whole = Buffer.alloc(length)
  for (const { at, bytes } of parts) bytes.copy(whole, at)
  return whole
}
const home = async (): Promise<string> => (await api.db.read.pools.find(ANY, api.poolId))?.path ?? ''
const hex = (algorithm: string, bytes: Buffer): string => createHash(algorithm).update(bytes).digest('hex')

describe("an image's bytes", () => {
  it('come back as they were sent, with their hashes, whole and in ranges', async () => {
    covers('uploadImageData', 'success')
    covers('downloadImageData', 'success')
    const bytes = randomBytes(1_500_000)
    const id = await create()
    await upload(id, bytes).expect(204)
    expect(await show(id)).toMatchObject({
      status: 'active',
      size: bytes.length,
      checksum: hex('md5', bytes),
      os_hash_algo: 'sha512',
      os_hash_value: hex('sha512', bytes),
    })
    const whole = await download(id).expect(200)
    expect(whole.body.equals(bytes)).toBe(true)
    expect(whole.headers).toMatchObject({
      'content-md5': hex('md5', bytes),
      'content-length': '1500000',
      'content-type': 'application/octet-stream',
    })
    const part = await download(id, { Range: 'bytes=1-3' }).expect(206)
    expect(part.headers['content-range']).toBe('bytes 1-3/1500000')
    expect(part.body.equals(bytes.subarray(1, 4))).toBe(true)
    expect((await download(id, { Range: 'bytes=-5' }).expect(206)).body.equals(bytes.subarray(-5))).toBe(true)
    expect((await download(id, { Range: 'bytes=1499990-' }).expect(206)).body.equals(bytes.subarray(1_499_990))).toBe(true)
    const beyond = await download(id, { Range: 'bytes=1500000-' }).expect(416)
    expect(beyond.headers['content-range']).toBe('bytes */1500000')
    await download(id, { Range: 'bytes=1-2,5-6' }).expect(416)
  })

  it('are 204 while there are none', async () => {
    covers('downloadImageData', 'wrong state')
    await api
      .as('member')
      .get(file(await create()))
      .expect(204)
  })

  it('are not given out while the image is deactivated', async () => {
    const id = await create()
    await upload(id, randomBytes(1024)).expect(204)
    await api.as('admin').post(`/image/v2/images/${id}/actions/deactivate`).expect(204)
    await api.as('member').get(file(id)).expect(403)
    await download(id, {}, 'admin').expect(200)
  })

  it("are their project's", async () => {
    covers('uploadImageData', 'foreign')
    covers('downloadImageData', 'foreign')
    const id = await create()
    await upload(id, randomBytes(10), 'foreign').expect(404)
    await upload(id, randomBytes(10), 'reader').expect(403)
    await api.as('foreign').get(file(id)).expect(404)
  })

  it('are taken once, as octets, and only with formats set', async () => {
    covers('uploadImageData', 'invalid', 'wrong state')
    const id = await create()
    await upload(id, randomBytes(10), 'member', 'application/json').expect(415)
    await upload(id, randomBytes(1000)).expect(204)
    const again = await upload(id, randomBytes(1000)).expect(409)
    expect(again.text).toContain('Image status transition from active to saving is not allowed')
    const bare = (await api.as('member').post('/image/v2/images').send({ name: 'x' }).expect(201)).body.id
    expect((await upload(bare, randomBytes(10)).expect(400)).text).toContain('disk_format, container_format must be set')
  })

  it.each([
    ['a raw image that holds a qcow2 header', 'raw', () => qcow2(null)],
    ['a qcow2 with a backing file', 'qcow2', () => qcow2({ name: '/etc/passwd', format: 'raw' })],
    ['noise that calls itself qcow2', 'qcow2', () => randomBytes(100_000)],
  ])('refuses %s, and leaves a queued image and no file', async (_what, format, bytes) => {
    const before = readdirSync(await home())
    const id = await create(format)
    await upload(id, bytes()).expect(400)
    expect((await show(id)).status).toBe('queued')
    expect(readdirSync(await home())).toEqual(before)
    expect(await api.db.read.artefacts.count(ANY, { ownerId: { is: id } })).toBe(0)
  })

  it("are refused in Glance's words when there are too many, and nothing is left of them", async () => {
    const small = await openApi({
      services: { settings: { ...DEFAULT_SETTINGS, hostId: HOST_ID, passwordCost: 10, stagingDir: '', maxImageSize: 100_000 } },
    })
    try {
      const made = { disk_format: 'raw', container_format: 'bare' }
      const { id } = (await small.as('member').post('/image/v2/images').send(made).expect(201)).body
      const request = small.as('member').put(file(id)).set('Content-Type', 'application/octet-stream')
      const answer = await request.send(randomBytes(3_000_000)).expect(413)
      expect(answer.text).toContain('larger than the limit of 100000 bytes')
      expect((await small.as('member').get(`/image/v2/images/${id}`).expect(200)).body.status).toBe('queued')
    } finally {
      await small.close()
    }
  })

  it('are not blamed when it is our storage that fails', async () => {
    const id = await create()
    const path = await home()
    await api.db.transaction((stores) => stores.pools.update(api.poolId, { path: '/nonexistent' }))
    try {
      expect((await upload(id, randomBytes(1000)).expect(503)).text).toContain('could not be stored')
    } finally {
      await api.db.transaction((stores) => stores.pools.update(api.poolId, { path }))
    }
    expect((await show(id)).status).toBe('queued')
    api.takeFaults()
    await upload(id, randomBytes(1000)).expect(204)
  })

  it('of a broken upload leave nothing, and the next one succeeds', async () => {
    const id = await create()
    const before = readdirSync(await home())
    const server = api.app.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    const headers = { 'x-auth-token': api.token('member'), 'content-type': 'application/octet-stream', 'content-length': '1000000' }
    const request = httpRequest({ host: '127.0.0.1', port, path: file(id), method: 'PUT', headers })
    request.on('error', () => {})
    request.write(randomBytes(50_000))
    await until(async () => (await show(id)).status === 'saving', { what: 'the upload to begin' })
    request.destroy()
    await until(async () => (await show(id)).status === 'queued', { what: 'the image to be queued again' })
    expect(readdirSync(await home())).toEqual(before)
    server.close()
    server.closeAllConnections()
    // That a client leaves is no fault of ours.
    expect(api.takeFaults()).toEqual([])
    await upload(id, randomBytes(1000)).expect(204)
  })

  it('go away with the image', async () => {
    const id = await create()
    await upload(id, randomBytes(1000)).expect(204)
    const layerId = (await api.db.read.images.find(ANY, id))?.layerId
    expect(readdirSync(await home())).toContain(`${layerId}.raw`)
    await api.as('member').delete(`/image/v2/images/${id}`).expect(204)
    await until(async () => !readdirSync(await home()).includes(`${layerId}.raw`), { what: 'the layer to be dropped' })
  })

  it('of an upload whose process died are swept, and the image is queued again', async () => {
    const id = await create()
    const path = `${await home()}/${id}-dead.part`
    const longAgo = systemClock.now() - 3_600_000_000
    await api.db.transaction(async (stores) => {
      await stores.images.transition(id, ['queued'], { status: 'saving' })
      await stores.artefacts.insert({
        id: `staging:${id}`,
        kind: 'staging-file',
        hostId: HOST_ID,
        location: path,
        ownerType: 'image',
        ownerId: id,
        createdAt: longAgo,
      })
    })
    expect(await api.services.image.sweepUploads()).toBe(1)
    expect((await show(id)).status).toBe('queued')
    expect(await api.services.image.sweepUploads()).toBe(0)
  })

  it('of a kernel are stored as they are', async () => {
    const bytes = randomBytes(4096)
    const id = await create('aki', { container_format: 'aki' })
    await upload(id, bytes).expect(204)
    expect(await show(id)).toMatchObject({ status: 'active', disk_format: 'aki', size: 4096 })
    expect((await download(id).expect(200)).body.equals(bytes)).toBe(true)
  })
})
