/** Volumes once they are there: shown, renamed, labelled, deleted. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DeleteVolumeInput } from '../../../src/domain/operations.js'
import { ANY } from '../../../src/ports/stores.js'
import { covers, HOST_ID, openApi, type TestApi } from '../../support/api.js'
import { jobOf, requestVolume, serverWith, setStatus, snapshotOf, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
let id: string
beforeAll(async () => {
  api = await openApi()
  id = await volumeIn(api, 'available', 'member', { size: 1, name: 'first', metadata: { p: 'q' } })
})
afterAll(() => api.close())

const at = (volumeId: string, rest = '') => `${V3}/volumes/${volumeId}${rest}`
const statusOf = async (volumeId: string) => (await api.db.read.volumes.find(ANY, volumeId))?.status

describe('showing', () => {
  it('tells a member all, and an admin where it lies', async () => {
    covers('showVolume', 'success')
    const { body } = await api.as('reader').get(at(id)).expect(200)
    expect(body.volume).toMatchObject({ id, name: 'first', 'os-vol-tenant-attr:tenant_id': api.projectId('member') })
    expect(body.volume.links[0].href).toMatch(new RegExp(`/volume/v3/volumes/${id}$`))
    expect(body.volume).not.toHaveProperty('os-vol-host-attr:host')
    expect(body.volume).not.toHaveProperty('volume_image_metadata')
    const admins = (await api.as('admin').get(at(id)).expect(200)).body.volume
    expect(admins['os-vol-host-attr:host']).toBe(`${HOST_ID}@strata#default`)
    const project = api.projectId('member')
    const linked = (await api.as('member').get(`${V3}/${project}/volumes/${id}`).expect(200)).body.volume
    expect(linked.links.map(({ href }: { href: string }) => new URL(href).pathname)).toEqual([
      `/volume/v3/${project}/volumes/${id}`,
      `/volume/${project}/volumes/${id}`,
    ])
  })

  it('lists the attachment of an attached one', async () => {
    const volumeId = await volumeIn(api)
    const serverId = await serverWith(api, 'member', volumeId)
    const { body } = await api.as('member').get(at(volumeId)).expect(200)
    expect(body.volume.status).toBe('in-use')
    expect(body.volume.attachments).toMatchObject([
      { server_id: serverId, volume_id: volumeId, id: volumeId, device: '/dev/vdb', host_name: null },
    ])
  })

  it('knows neither strangers’ volumes nor names', async () => {
    covers('showVolume', 'foreign', 'invalid')
    const { body } = await api.as('foreign').get(at(id)).expect(404)
    expect(body).toEqual({ itemNotFound: { code: 404, message: `Volume ${id} could not be found.` } })
    for (const name of ['first', randomUUID(), "'; --", 'summary'])
      await api
        .as('member')
        .get(at(encodeURIComponent(name)))
        .expect(404)
  })
})

describe('updating', () => {
  it('changes name, description and metadata', async () => {
    covers('updateVolume', 'success')
    const sent = { display_name: ' new ', description: null, metadata: { k: 'v' } }
    const { body } = await api.as('member').put(at(id)).send({ volume: sent }).expect(200)
    expect(body.volume).toMatchObject({ name: 'new', description: null, metadata: { k: 'v' } })
    await api
      .as('member')
      .put(at(id))
      .send({ volume: { metadata: { p: 'q' } } })
      .expect(200)
  })

  it('refuses unknown keys, long names, maintenance, readers and strangers', async () => {
    covers('updateVolume', 'invalid', 'foreign', 'wrong state')
    for (const volume of [{ size: 5 }, { name: 'x'.repeat(256) }, { metadata: { 'a,b': 'c' } }, { name: 1 }])
      await api.as('member').put(at(id)).send({ volume }).expect(400)
    await api
      .as('reader')
      .put(at(id))
      .send({ volume: { name: 'x' } })
      .expect(403)
    await api
      .as('foreign')
      .put(at(id))
      .send({ volume: { name: 'x' } })
      .expect(404)
    const kept = await volumeIn(api, 'maintenance')
    const { body } = await api
      .as('member')
      .put(at(kept))
      .send({ volume: { name: 'x' } })
      .expect(400)
    expect(body.badRequest.message).toBe('Invalid volume: The volume cannot be updated during maintenance.')
  })
})

describe('metadata', () => {
  it('is merged by POST, replaced by PUT, and has items', async () => {
    covers('mergeVolumeMetadata', 'success')
    covers('replaceVolumeMetadata', 'success')
    covers('showVolumeMetadata', 'success')
    covers('showVolumeMetadataItem', 'success')
    covers('setVolumeMetadataItem', 'success')
    covers('deleteVolumeMetadataItem', 'success')
    const metadata = at(id, '/metadata')
    const agent = api.as('member')
    expect(
      (
        await agent
          .post(metadata)
          .send({ metadata: { a: '1' } })
          .expect(200)
      ).body,
    ).toEqual({ metadata: { p: 'q', a: '1' } })
    expect(
      (
        await agent
          .put(metadata)
          .send({ metadata: { k: 'v', l: 'w' } })
          .expect(200)
      ).body,
    ).toEqual({ metadata: { k: 'v', l: 'w' } })
    expect(
      (
        await agent
          .put(`${metadata}/k`)
          .send({ meta: { k: 'new' } })
          .expect(200)
      ).body,
    ).toEqual({ meta: { k: 'new' } })
    expect((await agent.get(`${metadata}/k`).expect(200)).body).toEqual({ meta: { k: 'new' } })
    await agent.delete(`${metadata}/l`).expect(200)
    expect((await agent.get(metadata).expect(200)).body).toEqual({ metadata: { k: 'new' } })
  })

  it('refuses bad keys, wrong items, busy volumes, readers and strangers', async () => {
    covers('mergeVolumeMetadata', 'invalid', 'foreign', 'wrong state')
    covers('replaceVolumeMetadata', 'invalid', 'foreign', 'wrong state')
    covers('showVolumeMetadata', 'foreign')
    covers('showVolumeMetadataItem', 'invalid', 'foreign')
    covers('setVolumeMetadataItem', 'invalid', 'foreign', 'wrong state')
    covers('deleteVolumeMetadataItem', 'invalid', 'foreign', 'wrong state')
    const metadata = at(id, '/metadata')
    for (const body of [{ metadata: { '': 'x' } }, { metadata: { a: 'x'.repeat(256) } }, { metadata: [] }, {}]) {
      await api.as('member').post(metadata).send(body).expect(400)
      await api.as('member').put(metadata).send(body).expect(400)
    }
    await api
      .as('member')
      .put(`${metadata}/k`)
      .send({ meta: { other: 'x' } })
      .expect(400)
    const missing = await api.as('member').get(`${metadata}/constructor`).expect(404)
    expect(missing.body.itemNotFound.message).toBe(`Volume ${id} has no metadata with key constructor.`)
    await api.as('member').delete(`${metadata}/nope`).expect(404)
    await api.as('foreign').get(metadata).expect(404)
    await api.as('foreign').get(`${metadata}/k`).expect(404)
    const busy = await volumeIn(api, 'uploading', 'member', { size: 1, metadata: { k: 'v' } })
    const tries = [
      ['foreign', metadata, 404],
      ['reader', metadata, 403],
      ['member', at(busy, '/metadata'), 400],
    ] as const
    for (const [role, url, status] of tries) {
      await api.as(role).post(url).send({ metadata: {} }).expect(status)
      await api.as(role).put(url).send({ metadata: {} }).expect(status)
      await api
        .as(role)
        .put(`${url}/k`)
        .send({ meta: { k: 'v' } })
        .expect(status)
      await api.as(role).delete(`${url}/k`).expect(status)
    }
  })
})

describe('deleting', () => {
  const refused =
    'Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.'

  it('is accepted with its job, and refused while it goes on', async () => {
    covers('deleteVolume', 'success', 'wrong state')
    const volumeId = await volumeIn(api)
    const diskId = (await api.db.read.volumes.find(ANY, volumeId))?.diskId
    const { text, headers } = await api.as('member').delete(at(volumeId)).expect(202)
    expect(text).toBe('')
    expect(headers['content-type']).toContain('text/html')
    expect(await statusOf(volumeId)).toBe('deleting')
    expect((await jobOf<DeleteVolumeInput>(api, volumeId, 'delete-volume')).input).toEqual({ volumeId, diskId })
    const { body } = await api.as('member').delete(at(volumeId)).expect(400)
    expect(body.badRequest).toMatchObject({ message: refused, holder: { operation: 'delete-volume' } })
  })

  it('is refused to readers and strangers', async () => {
    covers('deleteVolume', 'foreign', 'invalid')
    await api.as('reader').delete(at(id)).expect(403)
    await api.as('foreign').delete(at(id)).expect(404)
    await api.as('member').delete(at('nope')).expect(404)
    expect(await statusOf(id)).toBe('available')
  })

  it('of one with snapshots needs cascade, which needs them to be deletable', async () => {
    const volumeId = await volumeIn(api)
    const snapshotId = await snapshotOf(api, volumeId)
    expect((await api.as('member').delete(at(volumeId)).expect(400)).body.badRequest.message).toBe(refused)
    const fresh = await api
      .as('member')
      .post(`${V3}/snapshots`)
      .send({ snapshot: { volume_id: volumeId } })
      .expect(202)
    await api
      .as('member')
      .delete(`${at(volumeId)}?cascade=True`)
      .expect(400)
    await api.db.transaction((stores) => stores.snapshots.update(fresh.body.snapshot.id, { status: 'error' }))
    await api
      .as('member')
      .delete(`${at(volumeId)}?cascade=True`)
      .expect(202)
    for (const one of [snapshotId, fresh.body.snapshot.id]) {
      expect((await api.db.read.snapshots.find(ANY, one))?.status).toBe('deleting')
      await jobOf(api, one, 'delete-snapshot')
    }
  })

  it('of an attached one is refused, by force too', async () => {
    const volumeId = await volumeIn(api)
    await serverWith(api, 'member', volumeId)
    await api.as('member').delete(at(volumeId)).expect(400)
    // A status set by hand does not hide the attachment.
    await setStatus(api, volumeId, 'available')
    await api.as('member').delete(at(volumeId)).expect(400)
    const { body } = await api
      .as('admin', { 'OpenStack-API-Version': 'volume 3.23' })
      .delete(`${at(volumeId)}?force=true`)
      .expect(400)
    expect(body.badRequest.message).toMatch(/^Invalid volume: Volume {2}must not be migrating, attached/)
  })

  it('by force works from any status, for admins, once', async () => {
    covers('volumeAction:os-force_delete', 'success', 'foreign', 'invalid', 'wrong state')
    const { id: volumeId } = await requestVolume(api)
    const force = { 'os-force_delete': {} }
    await api.as('member').post(at(volumeId, '/action')).send(force).expect(403)
    await api.as('admin').post(at(randomUUID(), '/action')).send(force).expect(404)
    await api.as('admin').post(at(volumeId, '/action')).send({ 'os-force_delete': 1 }).expect(400)
    await api
      .as('member', { 'OpenStack-API-Version': 'volume 3.23' })
      .delete(`${at(volumeId)}?force=true`)
      .expect(403)
    await api.as('admin').post(at(volumeId, '/action')).send(force).expect(202)
    await api.as('admin').post(at(volumeId, '/action')).send(force).expect(202)
    const jobs = await api.db.read.jobs.unfinished('volume', volumeId)
    expect(jobs.map(({ operation }) => operation).sort()).toEqual(['create-volume', 'delete-volume'])
    const withSnapshots = await volumeIn(api)
    await snapshotOf(api, withSnapshots)
    await api.as('admin').post(at(withSnapshots, '/action')).send(force).expect(400)
  })
})
