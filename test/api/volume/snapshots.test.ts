/** Snapshots once they are there: shown, renamed, labelled, deleted, and their statuses set by hand. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DeleteSnapshotInput } from '../../../src/domain/operations.js'
import type { SnapshotStatus } from '../../../src/domain/snapshot.js'
import { ANY } from '../../../src/ports/stores.js'
import { covers, HOST_ID, openApi, type Role, type TestApi } from '../../support/api.js'
import { jobOf, snapshotOf, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
let volumeId: string
let id: string
beforeAll(async () => {
  api = await openApi()
  volumeId = await volumeIn(api)
  id = await snapshotOf(api, volumeId, 'member', { name: 'first', metadata: { p: 'q' } })
})
afterAll(() => api.close())

const at = (snapshotId: string, rest = '') => `${V3}/snapshots/${snapshotId}${rest}`
const act = (snapshotId: string, body: object, role: Role = 'member') => api.as(role).post(at(snapshotId, '/action')).send(body)
const statusOf = async (snapshotId: string) => (await api.db.read.snapshots.find(ANY, snapshotId))?.status
const put = async (snapshotId: string, status: SnapshotStatus) => {
  await act(snapshotId, { 'os-reset_status': { status } }, 'admin').expect(202)
}

describe('showing', () => {
  it('tells progress and project, to its project and to admins', async () => {
    covers('showSnapshot', 'success', 'foreign')
    for (const role of ['member', 'reader', 'admin'] as const) {
      const { body } = await api.as(role).get(at(id)).expect(200)
      expect(body.snapshot).toMatchObject({
        id,
        status: 'available',
        metadata: { p: 'q' },
        'os-extended-snapshot-attributes:progress': '100%',
        'os-extended-snapshot-attributes:project_id': api.projectId('member'),
      })
    }
    const { body } = await api.as('foreign').get(at(id)).expect(404)
    expect(body).toEqual({ itemNotFound: { code: 404, message: `Snapshot ${id} could not be found.` } })
    covers('showSnapshot', 'invalid')
    for (const name of ['first', randomUUID(), 'x'.repeat(300), "'; --"])
      await api
        .as('member')
        .get(at(encodeURIComponent(name)))
        .expect(404)
  })

  it('serves the path with the project’s id too, and no other project’s', async () => {
    await api
      .as('member')
      .get(`${V3}/${api.projectId('member')}/snapshots/${id}`)
      .expect(200)
    await api
      .as('member')
      .get(`${V3}/${api.projectId('foreign')}/snapshots/${id}`)
      .expect(400)
  })
})

describe('updating', () => {
  it('changes name and description, and no more', async () => {
    covers('updateSnapshot', 'success')
    const { body } = await api
      .as('member')
      .put(at(id))
      .send({ snapshot: { name: ' renamed ', description: 'd' } })
      .expect(200)
    expect(body.snapshot).toMatchObject({ name: 'renamed', description: 'd', status: 'available' })
    expect(body.snapshot.updated_at).toMatch(/\.\d{6}$/)
    expect(body.snapshot).not.toHaveProperty('os-extended-snapshot-attributes:progress')
  })

  it('refuses nothing, unknown keys, long names, readers and strangers', async () => {
    covers('updateSnapshot', 'invalid', 'foreign')
    for (const snapshot of [{}, { size: 2 }, { name: 'x'.repeat(256) }, { name: 5 }])
      await api.as('member').put(at(id)).send({ snapshot }).expect(400)
    await api
      .as('reader')
      .put(at(id))
      .send({ snapshot: { name: 'x' } })
      .expect(403)
    await api
      .as('foreign')
      .put(at(id))
      .send({ snapshot: { name: 'x' } })
      .expect(404)
  })
})

describe('metadata', () => {
  it('is merged by POST, replaced by PUT, and has items', async () => {
    covers('mergeSnapshotMetadata', 'success')
    covers('replaceSnapshotMetadata', 'success')
    covers('showSnapshotMetadata', 'success')
    covers('showSnapshotMetadataItem', 'success')
    covers('setSnapshotMetadataItem', 'success')
    covers('deleteSnapshotMetadataItem', 'success')
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

  it('refuses bad keys, items that are not the URL’s, and strangers', async () => {
    covers('mergeSnapshotMetadata', 'invalid', 'foreign')
    covers('replaceSnapshotMetadata', 'invalid', 'foreign')
    covers('showSnapshotMetadata', 'foreign')
    covers('showSnapshotMetadataItem', 'invalid', 'foreign')
    covers('setSnapshotMetadataItem', 'invalid', 'foreign')
    covers('deleteSnapshotMetadataItem', 'invalid', 'foreign')
    const metadata = at(id, '/metadata')
    const bodies = [
      { metadata: { '': 'x' } },
      { metadata: { a: 'x'.repeat(256) } },
      { metadata: { a: null } },
      {},
      { metadata: {}, extra: 1 },
    ]
    for (const body of bodies) {
      await api.as('member').post(metadata).send(body).expect(400)
      await api.as('member').put(metadata).send(body).expect(400)
    }
    const mismatch = await api
      .as('member')
      .put(`${metadata}/k`)
      .send({ meta: { other: 'x' } })
      .expect(400)
    expect(mismatch.body.badRequest.message).toBe('Request body and URI mismatch')
    const many = await api
      .as('member')
      .put(`${metadata}/k`)
      .send({ meta: { k: 'x', l: 'y' } })
      .expect(400)
    expect(many.body.badRequest.message).toBe('Request body contains too many items')
    const missing = await api.as('member').get(`${metadata}/toString`).expect(404)
    expect(missing.body.itemNotFound.message).toBe(`Snapshot ${id} has no metadata with key toString.`)
    await api.as('member').delete(`${metadata}/nope`).expect(404)
    for (const role of ['foreign', 'reader'] as const) {
      const status = role === 'foreign' ? 404 : 403
      await api.as(role).post(metadata).send({ metadata: {} }).expect(status)
      await api.as(role).put(metadata).send({ metadata: {} }).expect(status)
      await api
        .as(role)
        .put(`${metadata}/k`)
        .send({ meta: { k: 'v' } })
        .expect(status)
      await api.as(role).delete(`${metadata}/k`).expect(status)
    }
    await api.as('foreign').get(metadata).expect(404)
    await api.as('foreign').get(`${metadata}/k`).expect(404)
  })
})

describe('deleting', () => {
  const refused = 'Invalid snapshot: Snapshot status must be available or error and must not be part of a group.'

  it('is accepted once and refused while it goes on', async () => {
    covers('deleteSnapshot', 'success', 'wrong state')
    const snapshotId = await snapshotOf(api, volumeId)
    api.rung.length = 0
    const { text } = await api.as('member').delete(at(snapshotId)).expect(202)
    expect(text).toBe('')
    expect(await statusOf(snapshotId)).toBe('deleting')
    const job = await jobOf<DeleteSnapshotInput>(api, snapshotId, 'delete-snapshot')
    expect(job.input).toEqual({ snapshotId, children: 'share' })
    expect(await api.db.read.jobs.locks(job.id)).toEqual([])
    expect(api.rung).toEqual([HOST_ID])
    const { body } = await api.as('member').delete(at(snapshotId)).expect(400)
    expect(body.badRequest.message).toBe(refused)
    for (const status of ['creating', 'error_deleting', 'backing-up'] as const) {
      await put(snapshotId, status)
      await api.as('member').delete(at(snapshotId)).expect(400)
    }
  })

  it('is refused to readers and strangers', async () => {
    covers('deleteSnapshot', 'foreign', 'invalid')
    await api.as('reader').delete(at(id)).expect(403)
    await api.as('foreign').delete(at(id)).expect(404)
    await api.as('member').delete(at('nope')).expect(404)
    expect(await statusOf(id)).toBe('available')
  })

  it('by force works from any status, waits for a creation, and is not done twice', async () => {
    covers('snapshotAction:os-force_delete', 'success', 'wrong state', 'foreign', 'invalid')
    const { body } = await api
      .as('member')
      .post(`${V3}/snapshots`)
      .send({ snapshot: { volume_id: volumeId } })
      .expect(202)
    const snapshotId = body.snapshot.id
    await act(snapshotId, { 'os-force_delete': {} }).expect(403)
    await act(randomUUID(), { 'os-force_delete': {} }, 'admin').expect(404)
    await act(snapshotId, { 'os-force_delete': 'now' }, 'admin').expect(400)
    await act(snapshotId, { 'os-force_delete': {} }, 'admin').expect(202)
    await act(snapshotId, { 'os-force_delete': null }, 'admin').expect(202)
    const jobs = await api.db.read.jobs.unfinished('snapshot', snapshotId)
    expect(jobs.map(({ operation }) => operation).sort()).toEqual(['create-snapshot', 'delete-snapshot'])
    const deletion = await jobOf(api, snapshotId, 'delete-snapshot')
    expect(await api.db.read.jobs.locks(deletion.id)).toEqual([expect.stringMatching(/^chain:/)])
  })
})

describe('setting the status', () => {
  it('by an admin goes anywhere, lower-cased', async () => {
    covers('snapshotAction:os-reset_status', 'success', 'invalid', 'foreign', 'wrong state')
    const snapshotId = await snapshotOf(api, volumeId)
    await act(snapshotId, { 'os-reset_status': { status: 'ERROR' } }, 'admin').expect(202)
    expect(await statusOf(snapshotId)).toBe('error')
    await put(snapshotId, 'restoring')
    await put(snapshotId, 'available')
    const { body } = await act(snapshotId, { 'os-reset_status': { status: 'foo' } }, 'admin').expect(400)
    expect(body.badRequest.message).toMatch(/^Snapshot status: foo is invalid, valid statuses are: \('error', 'available', /)
    await act(snapshotId, { 'os-reset_status': {} }, 'admin').expect(400)
    await act(snapshotId, { 'os-reset_status': { status: 'error' } }).expect(403)
    await act(randomUUID(), { 'os-reset_status': { status: 'error' } }, 'admin').expect(404)
  })

  it('by call back only continues what is under way', async () => {
    covers('snapshotAction:os-update_snapshot_status', 'success', 'invalid', 'foreign', 'wrong state')
    const snapshotId = await snapshotOf(api, volumeId)
    const tell = (status: string, progress?: string, role: Role = 'member') =>
      act(snapshotId, { 'os-update_snapshot_status': { status, ...(progress === undefined ? {} : { progress }) } }, role)
    const settled = await tell('error').expect(400)
    expect(settled.body.badRequest.message).toBe('Snapshot status available not allowed for update_snapshot_status')
    await put(snapshotId, 'creating')
    await tell('creating', '80%').expect(202)
    expect((await api.as('member').get(at(snapshotId))).body.snapshot['os-extended-snapshot-attributes:progress']).toBe('80%')
    const wrong = await tell('deleting').expect(400)
    expect(wrong.body.badRequest.message).toBe('Provided snapshot status deleting not allowed for snapshot with status creating.')
    await tell('creating', '800%').expect(400)
    await tell('creating', undefined, 'foreign').expect(404)
    await tell('creating', undefined, 'reader').expect(403)
    await tell('error').expect(202)
    expect(await statusOf(snapshotId)).toBe('error')
  })

  it('is one of the actions there are', async () => {
    const { body } = await act(id, { nope: {} }).expect(400)
    expect(body.badRequest.message).toBe('There is no such action: nope. Verify the request body and Content-Type header and try again.')
  })
})
