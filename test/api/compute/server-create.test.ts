import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ANY } from '../../../src/ports/stores.js'
import { covers } from '../../support/api.js'
import { anImage, GIB, inputOf, useRig } from './rig.js'

const rig = useRig()

const create = (server: Record<string, unknown>, version?: string, who: 'member' | 'reader' | 'foreign' = 'member') =>
  rig.call(who, 'POST', '/servers', {
    // From 2.37 networks are named.
    body: { server: { name: 'new', flavorRef: '1', ...(Number(version?.slice(2) ?? 0) >= 37 ? { networks: 'none' } : {}), ...server } },
    ...(version === undefined ? {} : { version }),
  })
const sentence = async (server: Record<string, unknown>, version?: string) => {
  const answer = await create(server, version)
  expect(answer.status, answer.text).toBe(400)
  return answer.body.badRequest.message
}

describe('creating a server from an image', () => {
  it('answers at once and leaves an overlay on the image, a job and an action', async () => {
    covers('createServer', 'success')
    const image = await anImage(rig, { properties: { hw_disk_bus: 'virtio' } })
    const rung = rig.rung.length
    const answer = await create({
      imageRef: image.id,
      metadata: { k: 'v' },
      security_groups: [{ name: 'default' }],
      personality: [],
      min_count: 1,
      max_count: 1,
    })
    expect(answer.status).toBe(202)
    const { id } = answer.body.server
    expect(answer.body.server).toEqual({
      id,
      links: [
        { rel: 'self', href: expect.stringMatching(new RegExp(`/compute/v2.1/servers/${id}$`)) },
        { rel: 'bookmark', href: expect.stringMatching(new RegExp(`/compute/servers/${id}$`)) },
      ],
      'OS-DCF:diskConfig': 'MANUAL',
      security_groups: [{ name: 'default' }],
      adminPass: expect.stringMatching(/^\w{12}$/),
    })
    expect(answer.headers['x-compute-request-id']).toMatch(/^req-/)
    expect(rig.rung.length).toBe(rung + 1)
    expect(await rig.db.read.servers.find(ANY, id)).toMatchObject({
      vmState: 'building',
      taskState: 'scheduling',
      imageId: image.id,
      metadata: { k: 'v' },
      imageProperties: { hw_disk_bus: 'virtio' },
      kernelLayerId: null,
      description: 'new',
    })
    const input = await inputOf(rig.db, 'create-server', id)
    const [disk] = await rig.db.read.disks.list(ANY, { where: { serverId: { is: id } } })
    expect(input).toEqual({
      serverId: id,
      diskIds: [disk?.id],
      layers: [{ diskId: disk?.id, layerId: expect.any(String), parentLayerId: image.layerId, virtualSize: GIB }],
    })
    expect(disk).toMatchObject({ kind: 'root', topLayerId: null, virtualSize: GIB })
    expect(await rig.db.read.layers.find(ANY, input.layers[0].layerId)).toMatchObject({
      state: 'planned',
      parentId: image.layerId,
      origin: 'disk',
    })
    const [action] = await rig.db.read.instanceActions.list(ANY, { where: { serverId: { is: id } } })
    expect(action).toMatchObject({ action: 'create', requestId: answer.headers['x-compute-request-id'] })
    expect((await rig.call('member', 'GET', `/servers/${id}`)).body.server).toMatchObject({
      status: 'BUILD',
      'OS-EXT-STS:task_state': 'scheduling',
    })
    expect((await rig.act('member', id, { 'os-stop': null })).body.conflictingRequest.message).toBe(
      `Cannot 'stop' instance ${id} while it is in vm_state building`,
    )
  })

  it('boots a kernel and ramdisk the image names', async () => {
    const [kernel, ramdisk] = [
      await anImage(rig, { diskFormat: 'aki', containerFormat: 'aki' }),
      await anImage(rig, { diskFormat: 'ari', containerFormat: 'ari' }),
    ]
    const image = await anImage(rig, { properties: { kernel_id: kernel.id, ramdisk_id: ramdisk.id } })
    const { id } = (await create({ imageRef: image.id })).body.server
    expect(await rig.db.read.servers.find(ANY, id)).toMatchObject({
      kernelLayerId: kernel.layerId,
      ramdiskLayerId: ramdisk.layerId,
      imageProperties: { os_command_line: 'console=ttyS0 root=/dev/vda' },
    })
    const own = await anImage(rig, { properties: { kernel_id: kernel.id, os_command_line: 'quiet' } })
    const second = (await create({ imageRef: own.id })).body.server.id
    expect((await rig.db.read.servers.find(ANY, second))?.imageProperties['os_command_line']).toBe('quiet')
    const lost = await anImage(rig, { properties: { kernel_id: randomUUID() } })
    expect((await create({ imageRef: lost.id })).status).toBe(400)
  })

  it('makes several at once, as many as the quota lets, at least min_count', async () => {
    const image = await anImage(rig)
    const answer = await create({ imageRef: image.id, min_count: '2', max_count: 3, return_reservation_id: true })
    expect(answer.body).toEqual({ reservation_id: expect.stringMatching(/^r-[0-9a-z]{8}$/) })
    const made = await rig.db.read.servers.list(ANY, { where: { reservationId: { is: answer.body.reservation_id } } })
    expect(made.map((server) => server.name).sort()).toEqual(['new-1', 'new-2', 'new-3'])
    const used = (await rig.call('member', 'GET', '/limits')).body.limits.absolute.totalInstancesUsed
    await rig.db.transaction((stores) => stores.quotas.setLimits(rig.projectId('member'), { instances: used + 2 }))
    const some = await create({ imageRef: image.id, min_count: 1, max_count: 5, return_reservation_id: 'True' })
    expect(await rig.db.read.servers.count(ANY, { reservationId: { is: some.body.reservation_id } })).toBe(2)
    const none = await create({ imageRef: image.id })
    expect(none.status).toBe(403)
    expect(none.body.forbidden.message).toBe(
      `Quota exceeded for instances: Requested 1, but already used ${used + 2} of ${used + 2} instances`,
    )
    await rig.db.transaction((stores) => stores.quotas.setLimits(rig.projectId('member'), { instances: -1 }))
    expect(await sentence({ imageRef: image.id, min_count: 3, max_count: 2 })).toBe('min_count must be <= max_count')
    for (const min_count of [0, -1, 'x', 1.5]) expect((await create({ imageRef: image.id, min_count })).status).toBe(400)
  })

  it('accepts auto and none as networks, and refuses ones by name', async () => {
    const image = await anImage(rig)
    for (const networks of ['auto', 'none', []]) expect((await create({ imageRef: image.id, networks }, '2.37')).status).toBe(202)
    expect((await create({ imageRef: image.id, networks: 'auto' })).status).toBe(400)
    expect(await sentence({ imageRef: image.id, networks: [{ uuid: 'n' }] })).toBe('Network n could not be found.')
    expect(await sentence({ imageRef: image.id, networks: [{ port: 'p' }] })).toBe('Port p could not be found.')
    expect(await sentence({ imageRef: image.id, security_groups: [{ name: 'web' }] })).toBe('Security group web not found.')
  })

  it('is refused for flavors, images and values that are not there or do not fit, and leaves nothing behind', async () => {
    covers('createServer', 'invalid', 'foreign')
    const before = await rig.db.read.servers.count(ANY)
    const image = await anImage(rig)
    const theirs = await anImage(rig, { projectId: rig.projectId('foreign') })
    expect(await sentence({})).toBe('Missing imageRef attribute')
    expect(await sentence({ imageRef: 'nope' })).toBe('Invalid imageRef provided.')
    expect(await sentence({ imageRef: randomUUID() })).toBe('Can not find requested image')
    expect(await sentence({ imageRef: theirs.id })).toBe('Can not find requested image')
    const queued = await anImage(rig, { status: 'queued' })
    expect(await sentence({ imageRef: queued.id })).toBe(`Image ${queued.id} is not active.`)
    expect(await sentence({ imageRef: image.id, flavorRef: 'nope' })).toBe('Flavor nope could not be found.')
    const big = await anImage(rig, { virtualSize: 2 * GIB })
    expect(await sentence({ imageRef: big.id })).toBe(
      `Flavor's disk is too small for requested image. Flavor disk is ${GIB} bytes, image is ${2 * GIB} bytes.`,
    )
    const wide = await anImage(rig, { minDisk: 5 })
    expect(await sentence({ imageRef: wide.id })).toBe(
      `Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is ${GIB} bytes, minimum size is ${5 * GIB} bytes.`,
    )
    const hungry = await anImage(rig, { minRam: 4096 })
    expect(await sentence({ imageRef: hungry.id })).toBe("Flavor's memory is too small for requested image.")
    expect(await sentence({ imageRef: image.id, availability_zone: 'mars' })).toBe('The requested availability zone is not available')
    expect(await sentence({ imageRef: image.id, user_data: '!' })).toBe('Userdata must be base64 encoded')
    expect((await create({ imageRef: image.id }, undefined, 'reader')).status).toBe(403)
    const bad = [
      { name: '' },
      { name: 'x'.repeat(256) },
      { name: 1 },
      { name: ' x' },
      { name: 'a\nb' },
      { metadata: { '': 'v' } },
      { metadata: { k: 1 } },
      { metadata: [] },
      { accessIPv4: 'x' },
      { extra: 1 },
      { description: 'd' },
      { tags: ['t'] },
      { config_drive: true },
      { networks: 'maybe' },
    ]
    for (const value of bad) expect((await create({ imageRef: image.id, ...value })).status, JSON.stringify(value)).toBe(400)
    for (const body of [{}, { server: null }, { server: {} }, []])
      expect((await rig.call('member', 'POST', '/servers', { body })).status).toBe(400)
    expect(await rig.db.read.servers.count(ANY)).toBe(before)
  })

  it('keeps a flavor of no disk size as large as the image, and quotas of cores and memory', async () => {
    const flavor = await rig.call('admin', 'POST', '/flavors', { body: { flavor: { name: 'diskless', ram: 64, vcpus: 2, disk: 0 } } })
    const image = await anImage(rig, { virtualSize: 3 * GIB })
    const { id } = (await create({ imageRef: image.id, flavorRef: flavor.body.flavor.id }, '2.52')).body.server
    const [disk] = await rig.db.read.disks.list(ANY, { where: { serverId: { is: id } } })
    expect(disk?.virtualSize).toBe(3 * GIB)
    const used = (await rig.call('member', 'GET', '/limits')).body.limits.absolute.totalCoresUsed
    await rig.db.transaction((stores) => stores.quotas.setLimits(rig.projectId('member'), { cores: used + 1 }))
    expect((await create({ imageRef: image.id, flavorRef: flavor.body.flavor.id })).body.forbidden.message).toBe(
      `Quota exceeded for cores: Requested 2, but already used ${used} of ${used + 1} cores`,
    )
    await rig.db.transaction((stores) => stores.quotas.setLimits(rig.projectId('member'), { cores: -1 }))
  })
})
