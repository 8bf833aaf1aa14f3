/** POST /volumes: what is recorded, what is enqueued, what is answered, what is refused. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CloneVolumeInput, CreateVolumeInput } from '../../../src/domain/operations.js'
import { ANY } from '../../../src/ports/stores.js'
import { covers, HOST_ID, openApi, type Role, type TestApi } from '../../support/api.js'
import { GIB, imageWith, jobOf, snapshotOf, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const post = (volume: object, role: Role = 'member', version = '3.0') =>
  api
    .as(role, { 'OpenStack-API-Version': `volume ${version}` })
    .post(`${V3}/volumes`)
    .send({ volume })
const refusal = async (status: number, volume: object, version?: string): Promise<string> => {
  const { body } = await post(volume, 'member', version).expect(status)
  return (Object.values(body)[0] as { message: string }).message
}

describe('a blank volume', () => {
  it('is accepted with its rows, its job and its event, and the worker is rung', async () => {
    covers('createVolume', 'success')
    api.rung.length = 0
    const { body } = await post({ size: 2, name: ' data ', description: 'd', metadata: { a: 'b' } }).expect(202)
    const { id } = body.volume
    expect(body.volume).toMatchObject({
      status: 'creating',
      size: 2,
      name: 'data',
      description: 'd',
      metadata: { a: 'b' },
      bootable: 'false',
      encrypted: false,
      multiattach: false,
      attachments: [],
      volume_type: '__DEFAULT__',
      availability_zone: 'nova',
      snapshot_id: null,
      source_volid: null,
      updated_at: null,
      user_id: api.caller('member').userId,
    })
    expect(body.volume.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
    expect(body.volume).not.toHaveProperty('group_id')
    expect(body.volume).not.toHaveProperty('os-vol-tenant-attr:tenant_id')
    const { input, ...job } = await jobOf<CreateVolumeInput>(api, id)
    expect(job).toMatchObject({ operation: 'create-volume', state: 'queued', hostId: HOST_ID, projectId: api.projectId('member') })
    const volume = await api.db.read.volumes.find(ANY, id)
    expect(input).toEqual({
      volumeId: id,
      layer: { diskId: volume?.diskId, layerId: expect.any(String), parentLayerId: null, virtualSize: 2 * GIB },
    })
    expect(await api.db.read.disks.find(ANY, input.layer.diskId)).toMatchObject({ kind: 'volume', topLayerId: null, virtualSize: 2 * GIB })
    expect(await api.db.read.layers.find(ANY, input.layer.layerId)).toMatchObject({ state: 'planned', parentId: null, format: 'qcow2' })
    expect(await api.db.read.artefacts.find(ANY, `layer:${input.layer.layerId}`)).toMatchObject({ kind: 'layer-file' })
    expect(await api.db.read.jobs.locks(job.id)).toEqual([`chain:${input.layer.diskId}`])
    expect(await api.db.read.events.list(ANY, { where: { resourceId: { is: id } } })).toMatchObject([{ kind: 'volume.create' }])
    expect(api.rung).toEqual([HOST_ID])
  })

  it('is what a client gets whose sources are all null', async () => {
    const nothing = { consistencygroup_id: null, snapshot_id: null, description: null, volume_type: null, availability_zone: null }
    await post({ ...nothing, size: 1, name: 'v', metadata: {}, imageRef: null, source_volid: null, backup_id: null }).expect(202)
    await post({ size: '1', display_name: 'old', metadata: null }).expect(202)
  })

  it('shows at each version the fields of that version', async () => {
    const latest = (await post({ size: 1 }, 'member', '3.66').expect(202)).body.volume
    expect(latest).toMatchObject({ group_id: null, shared_targets: false, service_uuid: null, consumes_quota: true })
    expect(latest.volume_type_id).toMatch(/^[0-9a-f-]{36}$/)
    const older = (await post({ size: 1 }, 'member', '3.62').expect(202)).body.volume
    expect(older).not.toHaveProperty('volume_type_id')
    const admins = (await post({ size: 1 }, 'admin', '3.66').expect(202)).body.volume
    expect(admins).toMatchObject({ migration_status: null, provider_id: null, cluster_name: null })
  })

  it('of a wrong or missing size is refused', async () => {
    covers('createVolume', 'invalid')
    for (const size of [0, -1, '#$%', '', 1.5, true, [], '1; rm -rf /']) await refusal(400, { size })
    expect(await refusal(400, {})).toBe('The server could not comply with the request since it is either malformed or otherwise incorrect.')
    expect(await refusal(400, { size: 1, availability_zone: 'mars' })).toBe("Availability zone 'mars' is invalid.")
    await refusal(400, { size: 1, name: 'x'.repeat(256) })
    await refusal(400, { size: 1, name: 'x'.repeat(10_240) })
    await refusal(400, { size: 1, metadata: { 'no,comma': 'x' } })
    await refusal(400, { size: 1, metadata: { k: 'x'.repeat(256) } })
    await refusal(400, { size: 1, metadata: { k: 1 } })
  })

  it('keeps any name and value as it was written', async () => {
    for (const name of [
      'it\'s "quoted"',
      'two\nlines',
      '$(reboot); `id` | rm -rf / &',
      'a:b:c',
      'Füße 漢字 🦊',
      'n'.repeat(255),
      '../../etc/passwd',
      "'; DROP TABLE volumes; --",
    ]) {
      const { body } = await post({ size: 1, name, metadata: { __proto__x: name } }).expect(202)
      const shown = await api.as('member').get(`${V3}/volumes/${body.volume.id}`).expect(200)
      expect(shown.body.volume.name).toBe(name)
      expect(shown.body.volume.metadata).toEqual({ __proto__x: name })
    }
  })

  it('is refused to a reader', async () => {
    const { body } = await post({ size: 1 }, 'reader').expect(403)
    expect(body.forbidden.message).toContain("Policy doesn't allow")
  })

  it('is refused over quota, and nothing is left of it', async () => {
    covers('createVolume', 'wrong state')
    const project = api.projectId('foreign')
    await api.db.transaction((stores) => stores.quotas.setLimits(project, { gigabytes: 3, volumes: 1, per_volume_gigabytes: 2 }))
    const before = await api.db.read.disks.count(ANY)
    const tooLarge = await post({ size: 3 }, 'foreign').expect(413)
    expect(tooLarge.body.overLimit.message).toBe('VolumeSizeExceedsLimit: Requested volume size 3 is larger than maximum allowed limit 2.')
    await post({ size: 2 }, 'foreign').expect(202)
    const { body, headers } = await post({ size: 2 }, 'foreign').expect(413)
    expect(headers['retry-after']).toBe('0')
    expect(body.overLimit).toEqual({
      code: 413,
      message:
        'VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested 2G, quota is 3G and 2G has been consumed.',
      retryAfter: '0',
    })
    const many = await post({ size: 1 }, 'foreign').expect(413)
    expect(many.body.overLimit.message).toBe("VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota 'volumes'.")
    expect(await api.db.read.disks.count(ANY)).toBe(before + 1)
    await api.db.transaction((stores) => stores.quotas.clearLimits(project))
  })

  it('of an unknown type is 404', async () => {
    expect(await refusal(404, { size: 1, volume_type: 'nope' })).toBe('Volume type with name nope could not be found.')
  })

  it('asked for twice with one key is made once', async () => {
    const send = () =>
      api
        .as('member', { 'Idempotency-Key': 'k-1' })
        .post(`${V3}/volumes`)
        .send({ volume: { size: 1 } })
        .expect(202)
    expect((await send()).body.volume.id).toBe((await send()).body.volume.id)
  })
})

describe('a volume from an image', () => {
  it('stands on the image, carries what it said, and boots', async () => {
    const image = await imageWith(api, 'member')
    const { body } = await post({ size: 1, imageRef: image.id }).expect(202)
    expect(body.volume.bootable).toBe('true')
    const { input, id: jobId } = await jobOf<CreateVolumeInput>(api, body.volume.id)
    expect(input.layer.parentLayerId).toBe(image.layerId)
    expect(await api.db.read.jobs.locks(jobId)).toContain(`layer:${image.layerId}`)
    const shown = await api.as('member').get(`${V3}/volumes/${body.volume.id}`).expect(200)
    expect(shown.body.volume.volume_image_metadata).toMatchObject({
      image_id: image.id,
      image_name: 'cirros',
      os_distro: 'tiny',
      min_disk: '0',
      size: '1000',
      disk_format: 'qcow2',
    })
  })

  it('is refused when the image is unknown, foreign, inactive or too large', async () => {
    const unknown = 'Invalid image identifier or unable to access requested image.'
    expect(await refusal(400, { size: 1, imageRef: randomUUID() })).toBe(unknown)
    expect(await refusal(400, { size: 1, imageRef: (await imageWith(api, 'foreign')).id })).toBe(unknown)
    const inactive = await imageWith(api, 'member', { status: 'deactivated' })
    expect(await refusal(400, { size: 1, imageRef: inactive.id })).toBe(`Invalid input received: Image ${inactive.id} is not active.`)
    const large = await imageWith(api, 'member', { virtualSize: 2 * GIB })
    expect(await refusal(400, { size: 1, imageRef: large.id })).toBe(
      'Invalid input received: Size of specified image 2GB is larger than volume size 1GB.',
    )
    const demanding = await imageWith(api, 'member', { minDisk: 5 })
    expect(await refusal(400, { size: 1, imageRef: demanding.id })).toBe(
      'Invalid input received: Volume size 1GB cannot be smaller than the image minDisk size 5GB.',
    )
  })

  it('may come from another project’s public image', async () => {
    const image = await imageWith(api, 'admin', { visibility: 'public' })
    await post({ size: 1, imageRef: image.id }).expect(202)
  })

  it('that only points at a snapshot is that snapshot, from 3.46', async () => {
    const snapshotId = await snapshotOf(api, await volumeIn(api))
    const mapping = JSON.stringify([{ source_type: 'snapshot', snapshot_id: snapshotId, boot_index: 0 }])
    const image = await imageWith(api, 'member', { layerId: null, size: 0, properties: { block_device_mapping: mapping } })
    const { body } = await post({ size: 1, imageRef: image.id }, 'member', '3.46').expect(202)
    expect(body.volume.snapshot_id).toBe(snapshotId)
    await refusal(400, { size: 1, imageRef: image.id }, '3.45')
  })
})

describe('a volume from a snapshot', () => {
  it('stands on the snapshot’s layer and is as large, unless it is to be larger', async () => {
    const snapshotId = await snapshotOf(api, await volumeIn(api, 'available', 'member', { size: 2 }))
    const layerId = (await api.db.read.snapshots.find(ANY, snapshotId))?.layerId
    const { body } = await post({ snapshot_id: snapshotId }).expect(202)
    expect(body.volume).toMatchObject({ size: 2, snapshot_id: snapshotId })
    expect((await jobOf<CreateVolumeInput>(api, body.volume.id)).input.layer).toMatchObject({
      parentLayerId: layerId,
      virtualSize: 2 * GIB,
    })
    const larger = await post({ snapshot_id: snapshotId, size: 5 }).expect(202)
    expect((await jobOf<CreateVolumeInput>(api, larger.body.volume.id)).input.layer.virtualSize).toBe(5 * GIB)
    expect(await refusal(400, { snapshot_id: snapshotId, size: 1 })).toBe(
      "Invalid input received: Volume size '1'GB cannot be smaller than the snapshot size 2GB. They must be >= original snapshot size.",
    )
  })

  it('that is unknown, foreign or not available is refused', async () => {
    covers('createVolume', 'foreign')
    const unknown = randomUUID()
    expect(await refusal(404, { snapshot_id: unknown })).toBe(`Snapshot ${unknown} could not be found.`)
    const foreign = await snapshotOf(api, await volumeIn(api, 'available', 'foreign'), 'foreign')
    expect(await refusal(404, { snapshot_id: foreign })).toBe(`Snapshot ${foreign} could not be found.`)
    const dying = await snapshotOf(api, await volumeIn(api))
    await api.as('member').delete(`${V3}/snapshots/${dying}`).expect(202)
    expect(await refusal(400, { snapshot_id: dying })).toBe(
      "Invalid snapshot: Originating snapshot status must be one of 'available' values",
    )
  })
})

describe('a volume from a volume', () => {
  it('is a clone whose job changes both chains', async () => {
    const sourceId = await volumeIn(api)
    const source = await api.db.read.volumes.find(ANY, sourceId)
    const { body } = await post({ source_volid: sourceId, size: null }).expect(202)
    expect(body.volume).toMatchObject({ size: 1, source_volid: sourceId })
    const { input, operation, id } = await jobOf<CloneVolumeInput>(api, body.volume.id)
    expect(operation).toBe('clone-volume')
    expect(input).toMatchObject({ virtualSize: GIB, source: { diskId: source?.diskId }, sourceServerId: null })
    for (const layerId of [input.layerId, input.source.layerId])
      expect(await api.db.read.layers.find(ANY, layerId)).toMatchObject({ state: 'planned', parentId: null })
    expect((await api.db.read.jobs.locks(id)).sort()).toEqual([`chain:${input.diskId}`, `chain:${source?.diskId}`].sort())
  })

  it('is accepted ten times at once', async () => {
    const sourceId = await volumeIn(api)
    const answers = await Promise.all(Array.from({ length: 10 }, () => post({ source_volid: sourceId })))
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(202))
  })

  it('that is unknown, foreign, busy or larger is refused', async () => {
    const unknown = randomUUID()
    expect(await refusal(404, { source_volid: unknown })).toBe(`Volume ${unknown} could not be found.`)
    expect(await refusal(404, { source_volid: await volumeIn(api, 'available', 'foreign') })).toContain('could not be found')
    expect(await refusal(400, { source_volid: await volumeIn(api, 'error') })).toBe(
      "Invalid volume: Originating source volume status must be one of 'available, in-use' values",
    )
    expect(await refusal(400, { size: 1, source_volid: await volumeIn(api, 'available', 'member', { size: 2 }) })).toContain(
      'cannot be smaller than original volume size  2GB',
    )
    expect(await refusal(404, { size: 1, consistencygroup_id: unknown })).toBe(`Group ${unknown} could not be found.`)
  })
})
