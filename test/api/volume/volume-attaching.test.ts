/** Cinder's half of attaching: reserving, recording, letting go; never against a guest that has the disk. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ANY } from '../../../src/ports/stores.js'
import { covers, openApi, type Role, type TestApi } from '../../support/api.js'
import { serverWith, setStatus, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const act = (id: string, body: object, role: Role = 'member') => api.as(role).post(`${V3}/volumes/${id}/action`).send(body)
const statusOf = async (id: string) => (await api.db.read.volumes.find(ANY, id))?.status
const attachmentsOf = (id: string) => api.db.read.attachments.list(ANY, { where: { volumeId: { is: id } } })

describe('a reservation', () => {
  it('shows as attaching and can be taken back', async () => {
    covers('volumeAction:os-reserve', 'success', 'invalid', 'foreign', 'wrong state')
    covers('volumeAction:os-unreserve', 'success', 'invalid', 'foreign', 'wrong state')
    const id = await volumeIn(api)
    await act(id, { 'os-reserve': {} }).expect(202)
    expect(await statusOf(id)).toBe('attaching')
    const { body } = await act(id, { 'os-reserve': {} }).expect(400)
    expect(body.badRequest.message).toBe('Invalid volume: Volume status must be available to reserve, but the status is attaching.')
    await act(id, { 'os-unreserve': {} }).expect(202)
    expect(await statusOf(id)).toBe('available')
    await act(id, { 'os-unreserve': null }).expect(202)
    expect(await statusOf(id)).toBe('available')
    for (const action of ['os-reserve', 'os-unreserve']) {
      await act(id, { [action]: {} }, 'foreign').expect(404)
      await act(id, { [action]: {} }, 'reader').expect(403)
      await act(id, { [action]: 5 }).expect(400)
    }
  })
})

describe('an attachment', () => {
  it('is recorded and taken off the record', async () => {
    covers('volumeAction:os-attach', 'success', 'wrong state')
    covers('volumeAction:os-detach', 'success')
    const id = await volumeIn(api)
    const serverId = await serverWith(api, 'member')
    await act(id, { 'os-attach': { instance_uuid: serverId, mountpoint: '/dev/vdc' } }).expect(202)
    expect(await statusOf(id)).toBe('in-use')
    expect(await attachmentsOf(id)).toMatchObject([{ serverId, device: '/dev/vdc', status: 'attached' }])
    await act(id, { 'os-attach': { instance_uuid: serverId, mountpoint: '/dev/vdd' } }).expect(400)
    const { body } = await api.as('member').get(`${V3}/volumes/${id}`)
    await act(id, { 'os-detach': { attachment_id: body.volume.attachments[0].attachment_id } }).expect(202)
    expect(await statusOf(id)).toBe('available')
    expect(await attachmentsOf(id)).toEqual([])
  })

  it('is refused with an unknown or foreign server, in wrong states, and to strangers', async () => {
    covers('volumeAction:os-attach', 'invalid', 'foreign')
    covers('volumeAction:os-detach', 'invalid', 'foreign')
    const id = await volumeIn(api)
    const mountpoint = '/dev/vdc'
    const theirs = await serverWith(api, 'foreign')
    await act(id, { 'os-attach': { instance_uuid: randomUUID(), mountpoint } }).expect(404)
    await act(id, { 'os-attach': { instance_uuid: theirs, mountpoint } }).expect(404)
    await act(id, { 'os-attach': { mountpoint } }).expect(400)
    await act(id, { 'os-attach': { instance_uuid: theirs, mountpoint } }, 'foreign').expect(404)
    await act(id, { 'os-detach': {} }, 'foreign').expect(404)
    await act(id, { 'os-detach': { attachment_id: 'short' } }).expect(400)
    await act(id, { 'os-detach': { attachment_id: randomUUID() } }).expect(404)
    await setStatus(api, id, 'error')
    const own = await serverWith(api, 'member')
    await act(id, { 'os-attach': { instance_uuid: own, mountpoint } }).expect(400)
  })

  it('is not recorded with a server that is deleted or being deleted, which would never let it go', async () => {
    const id = await volumeIn(api)
    for (const gone of [{ vmState: 'deleted' }, { taskState: 'deleting' }] as const) {
      const serverId = await serverWith(api, 'member')
      await api.db.transaction((stores) => stores.servers.update(serverId, gone))
      const { body } = await act(id, { 'os-attach': { instance_uuid: serverId, mountpoint: '/dev/vdc' } }).expect(404)
      expect(body.itemNotFound.message).toBe(`Instance ${serverId} could not be found.`)
    }
    expect(await attachmentsOf(id)).toEqual([])
    expect(await statusOf(id)).toBe('available')
  })

  it('may begin to end, roll back, and be ended by force', async () => {
    covers('volumeAction:os-begin_detaching', 'success', 'invalid', 'foreign', 'wrong state')
    covers('volumeAction:os-roll_detaching', 'success', 'invalid', 'foreign', 'wrong state')
    covers('volumeAction:os-force_detach', 'success', 'invalid', 'foreign')
    const id = await volumeIn(api)
    const refused = await act(id, { 'os-begin_detaching': {} }).expect(400)
    expect(refused.body.badRequest.message).toContain("Volume status must be 'in-use' and attach_status must be 'attached' to detach.")
    await act(id, { 'os-attach': { instance_uuid: await serverWith(api, 'member'), mountpoint: '/dev/vdc' } }).expect(202)
    await act(id, { 'os-begin_detaching': {} }).expect(202)
    expect(await statusOf(id)).toBe('detaching')
    await act(id, { 'os-roll_detaching': {} }).expect(202)
    expect(await statusOf(id)).toBe('in-use')
    await act(id, { 'os-roll_detaching': {} }).expect(202)
    for (const action of ['os-begin_detaching', 'os-roll_detaching']) {
      await act(id, { [action]: {} }, 'foreign').expect(404)
      await act(id, { [action]: 'x' }).expect(400)
    }
    await act(id, { 'os-force_detach': { connector: null } }).expect(403)
    await act(id, { 'os-force_detach': { what: 1 } }, 'admin').expect(400)
    await act(randomUUID(), { 'os-force_detach': {} }, 'admin').expect(404)
    await act(id, { 'os-force_detach': { connector: null } }, 'admin').expect(202)
    expect(await statusOf(id)).toBe('available')
  })

  it('of a disk its guest has is ended by the compute API alone', async () => {
    covers('volumeAction:os-detach', 'wrong state')
    covers('volumeAction:os-force_detach', 'wrong state')
    const id = await volumeIn(api)
    const serverId = await serverWith(api, 'member', id)
    const { body } = await act(id, { 'os-detach': {} }).expect(409)
    expect(body.conflictingRequest.message).toBe(`Detach volume from instance ${serverId} using the Compute API`)
    await act(id, { 'os-force_detach': {} }, 'admin').expect(409)
    expect(await statusOf(id)).toBe('in-use')
    expect(await attachmentsOf(id)).toHaveLength(1)
  })
})
