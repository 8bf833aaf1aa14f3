import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ANY } from '../../../src/ports/stores.js'
import { covers } from '../../support/api.js'
import { anImage, aServer, aVolume, inputOf, settle, useRig } from './rig.js'

const rig = useRig()

const createImage = (who: 'member' | 'reader' | 'foreign', id: string, input: unknown, version?: string) =>
  rig.act(who, id, { createImage: input }, version)

describe('createImage of a server with its own root disk', () => {
  it('records a queued image with what Nova hands on, and a job that seals the root', async () => {
    covers('serverAction:createImage', 'success')
    const properties = { hw_disk_bus: 'virtio', hw_qemu_guest_agent: 'yes', os_x: 'base', img_signature: 's', cache_in_nova: 'True' }
    const id = await aServer(rig, { image: { properties, minRam: 64 } })
    const server = await rig.db.read.servers.find(ANY, id)
    const answer = await createImage('member', id, { name: 'snap', metadata: { os_x: 'mine' } }, '2.45')
    expect(answer.status).toBe(202)
    expect(answer.headers).not.toHaveProperty('location')
    const image = await rig.db.read.images.find(ANY, answer.body.image_id)
    expect(image).toMatchObject({
      status: 'queued',
      visibility: 'private',
      name: 'snap',
      size: null,
      diskFormat: null,
      containerFormat: null,
      minDisk: 1,
      minRam: 64,
    })
    expect(image?.properties).toEqual({
      hw_disk_bus: 'virtio',
      hw_qemu_guest_agent: 'yes',
      os_x: 'mine',
      base_image_ref: server?.imageId,
      instance_uuid: id,
      image_type: 'snapshot',
      user_id: rig.caller('member').userId,
      owner_user_name: rig.caller('member').userName,
      owner_project_name: rig.caller('member').projectName,
      boot_roles: 'member',
    })
    expect(await rig.db.read.servers.find(ANY, id)).toMatchObject({ vmState: 'active', taskState: 'image_snapshot_pending' })
    const [root] = await rig.db.read.disks.list(ANY, { where: { serverId: { is: id } } })
    const input = await inputOf(rig.db, 'capture-image', answer.body.image_id)
    expect(input).toMatchObject({ serverId: id, volumeId: null, source: { diskId: root?.id }, quiesce: 'best_effort' })
    expect(await rig.db.read.layers.find(ANY, input.source.layerId)).toMatchObject({ state: 'planned', origin: 'disk' })
    expect(await rig.db.read.layers.find(ANY, input.imageLayerId)).toMatchObject({ state: 'planned', origin: 'image' })
  })

  it.each(['stopped', 'paused', 'active'] as const)('answers a Location below 2.45 and works when %s, locked too', async (vmState) => {
    const id = await aServer(rig, { vmState, patch: { locked: true } })
    const answer = await createImage('member', id, { name: 'snap' })
    expect(answer.status).toBe(202)
    expect(answer.text).toBe('')
    expect(answer.headers['location']).toMatch(/^http:\/\/[^/]+\/image\/images\/[0-9a-f-]{36}$/)
  })

  it('is refused while one is being made, and in states without a disk to copy', async () => {
    covers('serverAction:createImage', 'wrong state')
    const id = await aServer(rig)
    await createImage('member', id, { name: 'first' })
    expect((await createImage('member', id, { name: 'second' })).body.conflictingRequest.message).toBe(
      `Cannot 'createImage' instance ${id} while it is in task_state image_snapshot_pending`,
    )
    await settle(rig.db, id, { vmState: 'error' })
    const before = await rig.db.read.images.count(ANY)
    expect((await createImage('member', id, { name: 'third' })).body.conflictingRequest.message).toBe(
      `Cannot 'createImage' instance ${id} while it is in vm_state error`,
    )
    expect(await rig.db.read.images.count(ANY)).toBe(before)
  })

  it('is refused when badly formed, foreign or by a reader', async () => {
    covers('serverAction:createImage', 'invalid', 'foreign')
    const id = await aServer(rig)
    const empty = await createImage('member', id, { name: '' })
    expect(empty.body.badRequest.message).toBe("Invalid input for field/attribute name. Value: . '' is too short")
    const bad = [
      {},
      { name: 'x'.repeat(256) },
      { name: 'x', metadata: { '': '' } },
      { name: 'x', metadata: { k: 1 } },
      { name: 'x', metadata: { k: 'x'.repeat(256) } },
      { name: 'x', extra: 1 },
      { name: ' ' },
    ]
    for (const input of bad) expect((await createImage('member', id, input)).status).toBe(400)
    const many = Object.fromEntries([...Array(129).keys()].map((key) => [`k${key}`, 'v']))
    expect((await createImage('member', id, { name: 'x', metadata: many })).status).toBe(403)
    expect((await createImage('foreign', id, { name: 'x' })).status).toBe(404)
    expect((await createImage('reader', id, { name: 'x' })).status).toBe(403)
    for (const other of [randomUUID(), `${id}1`, id.slice(0, -1), '!'])
      expect((await createImage('member', other, { name: 'x' })).status).toBe(404)
    await rig.db.transaction((stores) => stores.quotas.setLimits(rig.projectId('member'), { images: 0 }))
    expect((await createImage('member', id, { name: 'x' })).body.forbidden.message).toBe('Quota exceeded for resources: images')
    await rig.db.transaction((stores) => stores.quotas.setLimits(rig.projectId('member'), { images: -1 }))
    expect(await rig.db.read.servers.find(ANY, id)).toMatchObject({ taskState: null })
  })
})

describe('createImage of a volume-backed server', () => {
  it('snapshots every volume in one job, and the image points at the snapshots', async () => {
    const root = await aVolume(rig, { bootable: true, imageMetadata: { hw_disk_bus: 'virtio', os_require_quiesce: 'yes', image_id: 'i' } })
    const data = await aVolume(rig)
    const mapping = [
      { uuid: root.id, source_type: 'volume', destination_type: 'volume', boot_index: '0', delete_on_termination: true },
      { uuid: data.id, source_type: 'volume', destination_type: 'volume', boot_index: -1 },
    ]
    const id = await aServer(rig, { body: { block_device_mapping_v2: mapping } })
    const answer = await createImage('member', id, { name: 'whole', metadata: { mine: 'yes' } }, '2.45')
    expect(answer.status).toBe(202)
    expect(await rig.db.read.servers.find(ANY, id)).toMatchObject({ taskState: null })
    const input = await inputOf(rig.db, 'create-snapshot', answer.body.image_id)
    expect(input).toMatchObject({ serverId: id, quiesce: 'required', imageId: answer.body.image_id })
    expect(input.switches.map((one: { diskId: string }) => one.diskId)).toEqual([root.diskId, data.diskId])
    const snapshots = await rig.db.read.snapshots.list(ANY, { where: { serverId: { is: id } } })
    expect(snapshots.map(({ name, description, status }) => ({ name, description, status }))).toEqual([
      { name: 'snapshot for whole', description: 'about v', status: 'creating' },
      { name: 'snapshot for whole', description: 'about v', status: 'creating' },
    ])
    const image = await rig.db.read.images.find(ANY, answer.body.image_id)
    expect(image?.properties).toMatchObject({
      base_image_ref: '',
      bdm_v2: 'True',
      root_device_name: '/dev/vda',
      mine: 'yes',
      hw_disk_bus: 'virtio',
    })
    for (const absent of ['instance_uuid', 'image_type', 'user_id']) expect(image?.properties).not.toHaveProperty(absent)
    const devices = JSON.parse(image?.properties['block_device_mapping'] ?? '')
    expect(devices).toHaveLength(2)
    expect(Object.keys(devices[0]).sort()).toEqual(
      'encryption_secret_uuid boot_index no_device tag volume_type device_type disk_bus delete_on_termination encryption_options device_name destination_type source_type encrypted snapshot_id guest_format encryption_format volume_id image_id volume_size'
        .split(' ')
        .sort(),
    )
    const ofRoot = snapshots.find((snapshot) => snapshot.volumeId === root.id)
    expect(devices[0]).toMatchObject({
      snapshot_id: ofRoot?.id,
      source_type: 'snapshot',
      destination_type: 'volume',
      boot_index: 0,
      delete_on_termination: true,
      device_name: '/dev/vda',
    })
    expect(devices[1]).toMatchObject({ boot_index: null, delete_on_termination: false, device_name: '/dev/vdb' })
  })

  it('hands on how the guest boots, from its root volume through the image to a server made of that', async () => {
    const kernel = await anImage(rig, { diskFormat: 'aki', containerFormat: 'aki' })
    const ramdisk = await anImage(rig, { diskFormat: 'ari', containerFormat: 'ari' })
    const boots = { kernel_id: kernel.id, ramdisk_id: ramdisk.id, os_command_line: 'quiet', hw_qemu_guest_agent: 'yes' }
    const root = await aVolume(rig, { bootable: true, imageMetadata: { ...boots, image_id: 'i', image_name: 'n', min_ram: '0' } })
    const mapping = [{ uuid: root.id, source_type: 'volume', destination_type: 'volume', boot_index: 0 }]
    const id = await aServer(rig, { body: { block_device_mapping_v2: mapping } })
    const booted = await rig.db.read.servers.find(ANY, id)
    expect(booted).toMatchObject({ kernelLayerId: kernel.layerId, ramdiskLayerId: ramdisk.layerId, imageProperties: boots })
    for (const absent of ['image_id', 'image_name', 'min_ram']) expect(booted?.imageProperties).not.toHaveProperty(absent)

    const { image_id: imageId } = (await createImage('member', id, { name: 'whole' }, '2.45')).body
    expect((await rig.db.read.images.find(ANY, imageId))?.properties).toMatchObject(boots)
    const layerId = (await rig.db.read.disks.find(ANY, root.diskId))?.topLayerId ?? ''
    await rig.db.transaction(async (stores) => {
      await stores.images.update(imageId, { status: 'active' })
      for (const one of await stores.snapshots.list(ANY, { where: { serverId: { is: id } } }))
        await stores.snapshots.update(one.id, { status: 'available', layerId })
    })
    const again = await aServer(rig, { body: { imageRef: imageId } })
    expect(await rig.db.read.servers.find(ANY, again)).toMatchObject({
      kernelLayerId: kernel.layerId,
      ramdiskLayerId: ramdisk.layerId,
      imageProperties: boots,
    })
  })

  it('gives servers made from it volumes of their own', async () => {
    const volume = await aVolume(rig, { bootable: true, status: 'in-use', imageMetadata: { hw_disk_bus: 'virtio' } })
    const snapshotId = randomUUID()
    const layerId = (await rig.db.read.disks.find(ANY, volume.diskId))?.topLayerId ?? ''
    await rig.db.transaction((stores) =>
      stores.snapshots.insert({
        id: snapshotId,
        projectId: rig.projectId('member'),
        userId: 'u',
        volumeId: volume.id,
        diskId: volume.diskId,
        serverId: null,
        layerId,
        serverSnapshotId: null,
        parentId: null,
        strategy: 'qemu-external',
        name: 's',
        description: null,
        status: 'available',
        progress: '100%',
        sizeGib: 1,
        metadata: {},
        report: null,
        createdAt: 1,
        updatedAt: null,
      }),
    )
    const device = {
      source_type: 'snapshot',
      destination_type: 'volume',
      snapshot_id: snapshotId,
      boot_index: 0,
      volume_size: 1,
      delete_on_termination: true,
      no_device: null,
    }
    const image = await anImage(rig, {
      layerId: null,
      size: 0,
      virtualSize: null,
      properties: { bdm_v2: 'True', block_device_mapping: JSON.stringify([device]) },
    })
    const created = await rig.call('member', 'POST', '/servers', {
      body: { server: { name: 'again', imageRef: image.id, flavorRef: '1' } },
    })
    expect(created.status).toBe(202)
    const id = created.body.server.id
    const input = await inputOf(rig.db, 'create-server', id)
    expect(input.layers).toEqual([{ diskId: input.diskIds[0], layerId: expect.any(String), parentLayerId: layerId, virtualSize: 2 ** 30 }])
    const [attachment] = await rig.db.read.attachments.list(ANY, { where: { serverId: { is: id } } })
    expect(attachment).toMatchObject({ bootIndex: 0, deleteOnTermination: true, device: '/dev/vda' })
    expect(await rig.db.read.volumes.find(ANY, attachment?.volumeId ?? '')).toMatchObject({
      bootable: true,
      snapshotId,
      imageMetadata: { hw_disk_bus: 'virtio' },
    })
  })
})
