import { describe, expect, it } from 'vitest'
import { ANY } from '../../../src/ports/stores.js'
import { anImage, aVolume, GIB, inputOf, useRig } from './rig.js'

const rig = useRig()

const create = (server: Record<string, unknown>, version?: string) =>
  rig.call('member', 'POST', '/servers', {
    body: { server: { name: 'new', flavorRef: '1', ...server } },
    ...(version === undefined ? {} : { version }),
  })
const sentence = async (server: Record<string, unknown>, version?: string) => {
  const answer = await create(server, version)
  expect(answer.status, answer.text).toBe(400)
  return answer.body.badRequest.message
}

describe('block devices', () => {
  const volumeRoot = (uuid: string, more = {}) => ({ uuid, source_type: 'volume', destination_type: 'volume', boot_index: '0', ...more })

  it('boot from a volume, which is reserved', async () => {
    const volume = await aVolume(rig, { bootable: true })
    const answer = await create({ imageRef: '', block_device_mapping_v2: [volumeRoot(volume.id, { delete_on_termination: 'True' })] })
    expect(answer.status).toBe(202)
    const { id } = answer.body.server
    expect(await inputOf(rig.db, 'create-server', id)).toEqual({ serverId: id, layers: [], diskIds: [volume.diskId] })
    expect(await rig.db.read.volumes.find(ANY, volume.id)).toMatchObject({ status: 'reserved' })
    const shown = (await rig.call('member', 'GET', `/servers/${id}`, { version: '2.3' })).body.server
    expect(shown).toMatchObject({ image: '', 'os-extended-volumes:volumes_attached': [{ id: volume.id, delete_on_termination: true }] })
    expect(await sentence({ block_device_mapping_v2: [volumeRoot(volume.id)] })).toBe(
      `Invalid input received: Invalid volume: Volume ${volume.id} status must be available or downloading to reserve, but the current status is reserved.`,
    )
  })

  it.each([
    ['volume_size', 1.5],
    ['volume_size', 1e15],
    ['volume_size', '1'],
    ['boot_index', 0.5],
  ])("take no %s of %j from an image's own list", async (field, value) => {
    const list = [{ source_type: 'blank', destination_type: 'volume', boot_index: 1, volume_size: 1, [field]: value }]
    const image = await anImage(rig, { properties: { block_device_mapping: JSON.stringify(list) } })
    expect(await sentence({ imageRef: image.id })).toBe(`Block Device Mapping is Invalid: Invalid ${field} field.`)
  })

  it('make volumes from image, snapshot source and nothing, each with its quota', async () => {
    const image = await anImage(rig, { properties: { hw_disk_bus: 'virtio' } })
    const devices = [
      { uuid: image.id, source_type: 'image', destination_type: 'volume', boot_index: 0, volume_size: '2' },
      { source_type: 'blank', destination_type: 'volume', boot_index: -1, volume_size: 1, delete_on_termination: true },
    ]
    const { id } = (await create({ imageRef: '', block_device_mapping_v2: devices })).body.server
    const attachments = (await rig.db.read.attachments.list(ANY, { where: { serverId: { is: id } } })).reverse()
    expect(attachments.map(({ device, bootIndex, deleteOnTermination }) => [device, bootIndex, deleteOnTermination])).toEqual([
      ['/dev/vda', 0, false],
      ['/dev/vdb', null, true],
    ])
    const input = await inputOf(rig.db, 'create-server', id)
    expect(
      input.layers.map(({ parentLayerId, virtualSize }: { parentLayerId: string; virtualSize: number }) => [parentLayerId, virtualSize]),
    ).toEqual([
      [image.layerId, 2 * GIB],
      [null, GIB],
    ])
    expect(await rig.db.read.volumes.find(ANY, attachments[0]?.volumeId ?? '')).toMatchObject({
      status: 'creating',
      bootable: true,
      sizeGib: 2,
      name: '',
      imageId: image.id,
    })
    await rig.db.transaction((stores) => stores.quotas.setLimits(rig.projectId('member'), { volumes: 0 }))
    expect((await create({ imageRef: '', block_device_mapping_v2: devices })).body.forbidden.message).toBe(
      'Quota exceeded for resources: volumes',
    )
    await rig.db.transaction((stores) => stores.quotas.setLimits(rig.projectId('member'), { volumes: -1 }))
  })

  it('stand beside the image as the root, in both generations', async () => {
    const image = await anImage(rig)
    const [one, two] = [await aVolume(rig), await aVolume(rig)]
    const local = { uuid: image.id, source_type: 'image', destination_type: 'local', boot_index: 0, delete_on_termination: true }
    const mapped = await create({
      imageRef: image.id,
      block_device_mapping_v2: [local, { uuid: one.id, source_type: 'volume', destination_type: 'volume', boot_index: null }],
    })
    expect((await inputOf(rig.db, 'create-server', mapped.body.server.id)).diskIds[1]).toBe(one.diskId)
    const legacy = await create({
      imageRef: image.id,
      block_device_mapping: [{ volume_id: two.id, device_name: '/dev/vdb', delete_on_termination: '0' }],
    })
    expect((await inputOf(rig.db, 'create-server', legacy.body.server.id)).diskIds[1]).toBe(two.diskId)
    const root = await aVolume(rig, { bootable: true })
    const old = await create({ block_device_mapping: [{ volume_id: root.id, device_name: 'vda' }] })
    expect((await rig.db.read.attachments.list(ANY, { where: { serverId: { is: old.body.server.id } } }))[0]).toMatchObject({
      bootIndex: 0,
      device: '/dev/vda',
    })
  })

  it('are refused when they make no sense', async () => {
    const image = await anImage(rig)
    const plain = await aVolume(rig)
    const theirs = await aVolume(rig, { projectId: rig.projectId('foreign'), bootable: true })
    const bootSequence =
      'Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.'
    const v2 = (...block_device_mapping_v2: unknown[]) => sentence({ block_device_mapping_v2 })
    expect(await v2(volumeRoot(plain.id))).toBe(`Block Device ${plain.id} is not bootable.`)
    expect(await v2(volumeRoot(theirs.id))).toBe(`Block Device Mapping is Invalid: failed to get volume ${theirs.id}.`)
    expect(await v2(volumeRoot(plain.id, { boot_index: null }))).toBe(bootSequence)
    expect(await v2(volumeRoot(plain.id, { boot_index: 1 }))).toBe(bootSequence)
    expect(await v2({ source_type: 'volume', destination_type: 'volume', boot_index: 0 })).toBe(
      'Block Device Mapping is Invalid: Missing device UUID.',
    )
    expect(await v2({ source_type: 'snapshot', destination_type: 'volume', boot_index: 0, uuid: plain.id })).toBe(
      `Block Device Mapping is Invalid: failed to get snapshot ${plain.id}.`,
    )
    expect(await v2({ source_type: 'image', destination_type: 'volume', boot_index: 0, uuid: plain.id, volume_size: 1 })).toBe(
      `Block Device Mapping is Invalid: failed to get image ${plain.id}.`,
    )
    expect(await v2({ source_type: 'image', destination_type: 'volume', boot_index: 0, uuid: image.id })).toBe(
      "Images with destination_type 'volume' need to have a non-zero size specified",
    )
    const local = { uuid: image.id, source_type: 'image', destination_type: 'local', boot_index: 0 }
    expect(
      await sentence({ imageRef: image.id, block_device_mapping_v2: [local, { source_type: 'blank', destination_type: 'volume' }] }),
    ).toBe("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size")
    expect(
      await sentence({
        imageRef: image.id,
        block_device_mapping_v2: [local, { source_type: 'blank', destination_type: 'local', volume_size: 1 }],
      }),
    ).toContain('Ephemeral disks requested are larger')
    expect(await sentence({ imageRef: image.id, block_device_mapping_v2: [local], block_device_mapping: [] })).toBe(
      'Using different block_device_mapping syntaxes is not allowed in the same request.',
    )
    const bootable = await aVolume(rig, { bootable: true })
    expect(await sentence({ block_device_mapping_v2: [volumeRoot(bootable.id)], max_count: 2 })).toBe(
      'Cannot attach one or more volumes to multiple instances',
    )
    expect((await create({ block_device_mapping_v2: [{ source_type: 'tape', boot_index: 'x' }] })).status).toBe(400)
    expect(await rig.db.read.volumes.find(ANY, bootable.id)).toMatchObject({ status: 'available' })
  })
})
