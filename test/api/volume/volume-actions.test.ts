/** POST /volumes/{id}/action: growing, flags, types, image metadata, statuses by hand. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CaptureImageInput, ExtendVolumeInput } from '../../../src/domain/operations.js'
import { ANY } from '../../../src/ports/stores.js'
import { covers, HOST_ID, openApi, type Role, type TestApi } from '../../support/api.js'
import { GIB, imageWith, jobOf, requestVolume, serverWith, setStatus, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const act = (id: string, body: object, role: Role = 'member', version = '3.0') =>
  api
    .as(role, { 'OpenStack-API-Version': `volume ${version}` })
    .post(`${V3}/volumes/${id}/action`)
    .send(body)
const volumeRow = (id: string) => api.db.read.volumes.find(ANY, id)

describe('os-extend', () => {
  it('takes the quota and enqueues the growth', async () => {
    covers('volumeAction:os-extend', 'success')
    const id = await volumeIn(api)
    api.rung.length = 0
    await act(id, { 'os-extend': { new_size: '3' } }).expect(202)
    const volume = await volumeRow(id)
    expect(volume).toMatchObject({ status: 'extending', previousStatus: 'available', sizeGib: 1 })
    expect((await jobOf<ExtendVolumeInput>(api, id, 'extend-volume')).input).toEqual({
      volumeId: id,
      diskId: volume?.diskId,
      serverId: null,
      virtualSize: 3 * GIB,
      sizeGib: 3,
    })
    expect(api.rung).toEqual([HOST_ID])
  })

  it('of an attached volume needs 3.42', async () => {
    covers('volumeAction:os-extend', 'wrong state')
    const id = await volumeIn(api)
    const serverId = await serverWith(api, 'member', id)
    const { body } = await act(id, { 'os-extend': { new_size: 2 } }).expect(400)
    expect(body.badRequest.message).toBe(
      `Invalid volume: Volume ${id} status must be '{'status': 'available'}' to extend, currently in-use.`,
    )
    await act(id, { 'os-extend': { new_size: 2 } }, 'member', '3.42').expect(202)
    expect((await jobOf<ExtendVolumeInput>(api, id, 'extend-volume')).input.serverId).toBe(serverId)
    const { id: young } = await requestVolume(api)
    await act(young, { 'os-extend': { new_size: 2 } }, 'member', '3.42').expect(400)
  })

  it('is refused when smaller, malformed, over quota, of strangers', async () => {
    covers('volumeAction:os-extend', 'invalid', 'foreign')
    const id = await volumeIn(api, 'available', 'foreign', { size: 2 })
    const smaller = await act(id, { 'os-extend': { new_size: 2 } }, 'foreign').expect(400)
    expect(smaller.body.badRequest.message).toBe(
      'Invalid input received: New size for extend must be greater than current size. (current: 2, extended: 2).',
    )
    for (const new_size of [0, -1, 'x', '', null, 1.5, {}]) await act(id, { 'os-extend': { new_size } }, 'foreign').expect(400)
    await act(id, { 'os-extend': {} }, 'foreign').expect(400)
    await act(id, { 'os-extend': { new_size: 3 } }).expect(404)
    await act(id, { 'os-extend': { new_size: 3 } }, 'reader').expect(403)
    await act('xyz', { 'os-extend': { new_size: 3 } }).expect(404)
    await api.db.transaction((stores) => stores.quotas.setLimits(api.projectId('foreign'), { gigabytes: 3 }))
    const over = await act(id, { 'os-extend': { new_size: 5 } }, 'foreign').expect(413)
    expect(over.body.overLimit.message).toContain('Requested 3G, quota is 3G and 2G has been consumed.')
    expect(await volumeRow(id)).toMatchObject({ status: 'available', sizeGib: 2 })
    await api.db.transaction((stores) => stores.quotas.clearLimits(api.projectId('foreign')))
  })
})

describe('os-reset_status', () => {
  it('by an admin goes anywhere', async () => {
    covers('volumeAction:os-reset_status', 'success', 'invalid', 'foreign', 'wrong state')
    const id = await volumeIn(api)
    for (const status of ['error', 'in-use', 'CREATING', 'available']) {
      await act(id, { 'os-reset_status': { status } }, 'admin').expect(202)
      expect((await volumeRow(id))?.status).toBe(status.toLowerCase())
    }
    await act(id, { 'os-reset_status': { attach_status: 'detached' } }, 'admin').expect(202)
    const { body } = await act(id, { 'os-reset_status': { status: 'foo' } }, 'admin').expect(400)
    expect(body.badRequest.message).toMatch(/^Volume status: foo is invalid, valid statuses are: \('creating', /)
    await act(id, { 'os-reset_status': {} }, 'admin').expect(400)
    await act(id, { 'os-reset_status': { status: 'error' } }).expect(403)
    await act(randomUUID(), { 'os-reset_status': { status: 'error' } }, 'admin').expect(404)
  })
})

describe('flags', () => {
  it('os-set_bootable answers 200', async () => {
    covers('volumeAction:os-set_bootable', 'success', 'invalid', 'foreign')
    const id = await volumeIn(api)
    await act(id, { 'os-set_bootable': { bootable: true } }).expect(200)
    expect((await volumeRow(id))?.bootable).toBe(true)
    await act(id, { 'os-set_bootable': { bootable: 'False' } }).expect(200)
    expect((await volumeRow(id))?.bootable).toBe(false)
    await act(id, { 'os-set_bootable': { bootable: 'maybe' } }).expect(400)
    await act(id, { 'os-set_bootable': {} }).expect(400)
    await act(id, { 'os-set_bootable': { bootable: true } }, 'foreign').expect(404)
  })

  it('os-update_readonly_flag shows among the metadata once it was set', async () => {
    covers('volumeAction:os-update_readonly_flag', 'success', 'invalid', 'foreign', 'wrong state')
    const id = await volumeIn(api, 'available', 'member', { size: 1, metadata: { k: 'v' } })
    const shown = async () => (await api.as('member').get(`${V3}/volumes/${id}`)).body.volume.metadata
    expect(await shown()).toEqual({ k: 'v' })
    await act(id, { 'os-update_readonly_flag': { readonly: true } }).expect(202)
    expect(await shown()).toEqual({ k: 'v', readonly: 'True' })
    await act(id, { 'os-update_readonly_flag': { readonly: false } }).expect(202)
    expect(await shown()).toEqual({ k: 'v', readonly: 'False' })
    await act(id, { 'os-update_readonly_flag': { readonly: 2 } }).expect(400)
    await act(id, { 'os-update_readonly_flag': { readonly: true } }, 'foreign').expect(404)
    await setStatus(api, id, 'in-use')
    const { body } = await act(id, { 'os-update_readonly_flag': { readonly: true } }).expect(400)
    expect(body.badRequest.message).toContain('status must be available to update readonly flag')
  })

  it('os-retype changes the type, but not to the same', async () => {
    covers('volumeAction:os-retype', 'success', 'invalid', 'foreign', 'wrong state')
    const id = await volumeIn(api)
    await api
      .as('admin')
      .post(`${V3}/types`)
      .send({ volume_type: { name: 'fast' } })
      .expect(200)
    await act(id, { 'os-retype': { new_type: 'fast', migration_policy: 'on-demand' } }).expect(202)
    const { body } = await api.as('member').get(`${V3}/volumes/${id}`)
    expect(body.volume).toMatchObject({ volume_type: 'fast', status: 'available' })
    const same = await act(id, { 'os-retype': { new_type: 'fast' } }).expect(400)
    expect(same.body.badRequest.message).toMatch(/^Invalid volume: Retype needs volume to be in available or in-use state/)
    await act(id, { 'os-retype': { new_type: 'nope' } }).expect(404)
    await act(id, { 'os-retype': {} }).expect(400)
    await act(id, { 'os-retype': { new_type: 'fast' } }, 'foreign').expect(404)
    await setStatus(api, id, 'error')
    await act(id, { 'os-retype': { new_type: '__DEFAULT__' } }).expect(400)
  })
})

describe('image metadata', () => {
  it('is set, shown and unset', async () => {
    covers('volumeAction:os-set_image_metadata', 'success', 'invalid', 'foreign', 'wrong state')
    covers('volumeAction:os-show_image_metadata', 'success', 'foreign', 'invalid')
    covers('volumeAction:os-unset_image_metadata', 'success', 'invalid', 'foreign', 'wrong state')
    const image = await imageWith(api, 'member')
    const id = await volumeIn(api, 'available', 'member', { size: 1, imageRef: image.id })
    const set = { 'os-set_image_metadata': { metadata: { label: 'x', os_distro: 'y' } } }
    expect((await act(id, set).expect(200)).body.metadata).toMatchObject({ label: 'x', os_distro: 'y', image_id: image.id })
    expect((await act(id, { 'os-show_image_metadata': {} }).expect(200)).body.metadata).toMatchObject({ label: 'x' })
    await act(id, { 'os-unset_image_metadata': { key: 'label' } }).expect(200)
    expect((await volumeRow(id))?.imageMetadata).not.toHaveProperty('label')
    await act(id, { 'os-unset_image_metadata': { key: 'label' } }).expect(404)
    await act(id, { 'os-unset_image_metadata': {} }).expect(400)
    await act(id, { 'os-set_image_metadata': { metadata: { 'a,b': 'c' } } }).expect(400)
    await act(id, { 'os-show_image_metadata': 'x' }).expect(400)
    for (const body of [set, { 'os-show_image_metadata': {} }, { 'os-unset_image_metadata': { key: 'os_distro' } }])
      await act(id, body, 'foreign').expect(404)
    await setStatus(api, id, 'uploading')
    await act(id, set).expect(400)
    await act(id, { 'os-unset_image_metadata': { key: 'os_distro' } }).expect(400)
  })
})

describe('os-volume_upload_image', () => {
  const upload = (more: object = {}) => ({ 'os-volume_upload_image': { image_name: 'img', disk_format: 'qcow2', ...more } })

  it('makes an image whose bytes are captured under a new top', async () => {
    covers('volumeAction:os-volume_upload_image', 'success')
    const id = await volumeIn(api)
    const diskId = (await volumeRow(id))?.diskId
    const { body } = await act(id, upload({ container_format: 'bare', visibility: 'shared' }), 'member', '3.1').expect(202)
    const answer = body['os-volume_upload_image']
    expect(answer).toMatchObject({
      id,
      status: 'uploading',
      size: 1,
      image_name: 'img',
      disk_format: 'qcow2',
      visibility: 'shared',
      protected: false,
    })
    expect(answer.volume_type).toMatchObject({ name: '__DEFAULT__' })
    expect(await volumeRow(id)).toMatchObject({ status: 'uploading', previousStatus: 'available' })
    const image = await api.db.read.images.find(ANY, answer.image_id)
    expect(image).toMatchObject({ name: 'img', diskFormat: 'qcow2', visibility: 'shared', layerId: null, minDisk: 1 })
    const { input, operation } = await jobOf<CaptureImageInput>(api, answer.image_id)
    expect(operation).toBe('capture-image')
    expect(input).toMatchObject({ volumeId: id, serverId: null, source: { diskId }, quiesce: 'none' })
    expect(await api.db.read.layers.find(ANY, input.imageLayerId)).toMatchObject({ state: 'planned', origin: 'image' })
    expect(await api.db.read.layers.find(ANY, input.source.layerId)).toMatchObject({ state: 'planned', origin: 'disk' })
  })

  it.each(['raw', 'vmdk', 'vdi', 'vhd', 'vhdx', 'ploop'])('is made as %s, which is raw to us, when that is asked for', async (format) => {
    const id = await volumeIn(api)
    const { body } = await act(id, upload({ disk_format: format })).expect(202)
    const answer = body['os-volume_upload_image']
    expect(answer).toMatchObject({ status: 'uploading', disk_format: format, container_format: 'bare' })
    const { input } = await jobOf<CaptureImageInput>(api, answer.image_id)
    expect(input.format).toBe(format)
    const layer = await api.db.read.layers.find(ANY, input.imageLayerId)
    expect(layer).toMatchObject({ state: 'planned', origin: 'image', format: 'raw', fileName: `${input.imageLayerId}.raw` })
  })

  it('is raw where no format is named, as with Cinder', async () => {
    const { body } = await act(await volumeIn(api), { 'os-volume_upload_image': { image_name: 'img' } }).expect(202)
    expect(body['os-volume_upload_image']).toMatchObject({ disk_format: 'raw', container_format: 'bare' })
  })

  it('of an attached volume needs force', async () => {
    covers('volumeAction:os-volume_upload_image', 'wrong state')
    const id = await volumeIn(api)
    await serverWith(api, 'member', id, { hw_qemu_guest_agent: 'yes' })
    const { body } = await act(id, upload()).expect(400)
    expect(body.badRequest.message).toBe(`Invalid volume: Volume ${id} status must be available`)
    const forced = await act(id, upload({ force: true })).expect(202)
    expect(forced.body['os-volume_upload_image']).not.toHaveProperty('visibility')
    const { input } = await jobOf<CaptureImageInput>(api, forced.body['os-volume_upload_image'].image_id)
    expect(input.quiesce).toBe('best_effort')
    expect((await volumeRow(id))?.previousStatus).toBe('in-use')
  })

  it('is refused in other formats, to strangers, and publicly to tenants', async () => {
    covers('volumeAction:os-volume_upload_image', 'invalid', 'foreign')
    const id = await volumeIn(api)
    await act(id, upload({ disk_format: 'floppy' })).expect(400)
    await act(id, { 'os-volume_upload_image': {} }).expect(400)
    await act(id, upload({ visibility: 'public' })).expect(400)
    await act(id, upload({ visibility: 'public' }), 'member', '3.1').expect(403)
    const refusal = async (more: object): Promise<string> => (await act(id, upload(more)).expect(400)).body.badRequest.message
    expect(await refusal({ container_format: 'compressed' })).toBe("Invalid container format 'compressed' for image.")
    expect(await refusal({ container_format: 'ami' })).toContain('Invalid mix of disk and container formats.')
    await act(id, upload(), 'foreign').expect(404)
    await act(id, upload(), 'reader').expect(403)
    expect((await volumeRow(id))?.status).toBe('available')
  })
})
