/** Private volume types and whom they are shared with, projects' own default types, and what lists may be filtered by. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { covers, openApi, type Role, type TestApi } from '../../support/api.js'
import { V3 } from '../../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const LATE = { 'OpenStack-API-Version': 'volume 3.62' }
const create = async (name: string, isPublic: boolean): Promise<string> => {
  const volume_type = { name, 'os-volume-type-access:is_public': isPublic, extra_specs: { kind: name } }
  return (await api.as('admin').post(`${V3}/types`).send({ volume_type }).expect(200)).body.volume_type.id
}
const act = (id: string, action: object, role: Role = 'admin') => api.as(role).post(`${V3}/types/${id}/action`).send(action)
const namesFor = async (role: Role, query = ''): Promise<string[]> =>
  (await api.as(role).get(`${V3}/types${query}`).expect(200)).body.volume_types.map(({ name }: { name: string }) => name)
const volume = (volume_type: string, role: Role = 'member') =>
  api
    .as(role)
    .post(`${V3}/volumes`)
    .send({ volume: { size: 1, volume_type } })

describe('a private type', () => {
  it('is for the projects it is shared with, and nobody else', async () => {
    covers('listVolumeTypeAccess', 'success')
    covers('volumeTypeAction:addProjectAccess', 'success', 'invalid')
    covers('volumeTypeAction:removeProjectAccess', 'success', 'invalid')
    const id = await create('secret', false)
    const project = api.projectId('member')
    const access = async () => (await api.as('admin').get(`${V3}/types/${id}/os-volume-type-access`).expect(200)).body.volume_type_access
    expect(await access()).toEqual([])
    expect(await namesFor('member')).toEqual(['__DEFAULT__'])
    await volume('secret').expect(404)

    await act(id, { addProjectAccess: { project } }).expect(202)
    expect(await access()).toEqual([{ volume_type_id: id, project_id: project }])
    expect(await namesFor('member')).toEqual(['secret', '__DEFAULT__'])
    expect(await namesFor('member', '?limit=1&sort=name:asc')).toEqual(['__DEFAULT__'])
    expect(await namesFor('member', `?marker=${id}&sort=name:desc`)).toEqual(['__DEFAULT__'])
    expect(await namesFor('foreign')).toEqual(['__DEFAULT__'])
    await api.as('reader').get(`${V3}/types/${id}`).expect(200)
    await api.as('foreign').get(`${V3}/types/${id}`).expect(404)
    expect((await volume('secret').expect(202)).body.volume.volume_type).toBe('secret')
    await volume(id, 'foreign').expect(404)

    const again = await act(id, { addProjectAccess: { project } }).expect(409)
    expect(again.body.conflictingRequest.message).toBe(`Volume type access for ${id} / ${project} combination already exists.`)
    await act(id, { removeProjectAccess: { project } }).expect(202)
    expect(await namesFor('member')).toEqual(['__DEFAULT__'])
    const gone = await act(id, { removeProjectAccess: { project } }).expect(404)
    expect(gone.body.itemNotFound.message).toBe(`Volume type access not found for ${id} / ${project} combination.`)
  })

  it('is shared by admins only, and a public one by nobody', async () => {
    const id = await create('open', true)
    const project = api.projectId('member')
    const refused = await act(id, { addProjectAccess: { project } }, 'member').expect(403)
    expect(refused.body.forbidden.message).toContain('volume_extension:volume_type_access:addProjectAccess')
    await api.as('member').get(`${V3}/types/${id}/os-volume-type-access`).expect(403)
    const open = await api.as('admin').get(`${V3}/types/${id}/os-volume-type-access`).expect(404)
    expect(open.body.itemNotFound.message).toBe('Access list not available for public volume types.')
    for (const action of ['addProjectAccess', 'removeProjectAccess']) {
      const { body } = await act(id, { [action]: { project } }).expect(400)
      expect(body.badRequest.message).toContain('not applicable to public volume type')
      for (const bad of [{}, { project: '' }, { project: 1 }, { project, more: 1 }, null]) await act(id, { [action]: bad }).expect(400)
      await act(randomUUID(), { [action]: { project } }).expect(404)
    }
  })

  it('leaves nothing behind when it is deleted', async () => {
    const id = await create('passing', false)
    await act(id, { addProjectAccess: { project: api.projectId('member') } }).expect(202)
    await api.as('admin').delete(`${V3}/types/${id}`).expect(202)
    expect(await api.db.read.volumeTypeAccess.count({ projectId: api.projectId('member') }, { volumeTypeId: { is: id } })).toBe(0)
  })
})

describe('a project’s default type', () => {
  const path = (project = api.projectId('foreign')) => `${V3}/default-types/${project}`
  const admin = () => api.as('admin', LATE)

  it('is set, shown, listed and taken away by admins from 3.62, and is what its volumes have', async () => {
    covers('setProjectDefaultVolumeType', 'success', 'invalid')
    covers('showProjectDefaultVolumeType', 'success')
    covers('listDefaultVolumeTypes', 'success')
    covers('clearProjectDefaultVolumeType', 'success')
    const id = await create('theirs', true)
    const wanted = { default_type: { project_id: api.projectId('foreign'), volume_type_id: id } }
    const unset = await admin().get(path()).expect(404)
    expect(unset.body.itemNotFound.message).toBe(`Default type for project ${api.projectId('foreign')} not found.`)
    expect(
      (
        await admin()
          .put(path())
          .send({ default_type: { volume_type: 'theirs' } })
          .expect(200)
      ).body,
    ).toEqual(wanted)
    expect(
      (
        await admin()
          .put(path())
          .send({ default_type: { volume_type: id } })
          .expect(200)
      ).body,
    ).toEqual(wanted)
    expect((await admin().get(path()).expect(200)).body).toEqual(wanted)
    expect((await admin().get(`${V3}/default-types`).expect(200)).body).toEqual({ default_types: [wanted.default_type] })
    expect((await api.as('foreign').get(`${V3}/types/default`).expect(200)).body.volume_type.name).toBe('theirs')
    expect((await api.as('member').get(`${V3}/types/default`).expect(200)).body.volume_type.name).toBe('__DEFAULT__')
    const made = await api
      .as('foreign')
      .post(`${V3}/volumes`)
      .send({ volume: { size: 1 } })
      .expect(202)
    expect(made.body.volume.volume_type).toBe('theirs')
    const other = await create('unused', true)
    await admin()
      .put(path())
      .send({ default_type: { volume_type: other } })
      .expect(200)
    await api.as('admin').delete(`${V3}/types/${other}`).expect(400)
    await admin().delete(path()).expect(204)
    expect((await api.as('foreign').get(`${V3}/types/default`)).body.volume_type.name).toBe('__DEFAULT__')
    await api.as('admin').delete(`${V3}/types/${other}`).expect(202)
  })

  it('is nobody else’s business, names a type and a project there are, and is unknown below 3.62', async () => {
    await api.as('foreign', LATE).get(path()).expect(403)
    await api
      .as('member', LATE)
      .put(path())
      .send({ default_type: { volume_type: '__DEFAULT__' } })
      .expect(403)
    const unknown = await admin()
      .put(path())
      .send({ default_type: { volume_type: 'nonsense' } })
      .expect(400)
    expect(unknown.body.badRequest.message).toBe('Volume type with name nonsense could not be found.')
    for (const bad of [{}, { volume_type: '' }, { volume_type: null }]) await admin().put(path()).send({ default_type: bad }).expect(400)
    const missing = await admin()
      .put(path('nobody'))
      .send({ default_type: { volume_type: '__DEFAULT__' } })
      .expect(404)
    expect(missing.body.itemNotFound.message).toBe('Project with id nobody not found.')
    await admin().delete(path('nobody')).expect(404)
    await api.as('admin', { 'OpenStack-API-Version': 'volume 3.61' }).get(`${V3}/default-types`).expect(404)
  })
})

describe('the filters of lists', () => {
  it('are told from 3.33 as they are at that version', async () => {
    covers('listResourceFilters', 'success')
    const told = async (version: string, query = '') => {
      const { body } = await api
        .as('reader', { 'OpenStack-API-Version': `volume ${version}` })
        .get(`${V3}/resource_filters${query}`)
        .expect(200)
      return body.resource_filters
    }
    await api.as('reader', { 'OpenStack-API-Version': 'volume 3.32' }).get(`${V3}/resource_filters`).expect(404)
    expect(await told('3.33', '?resource=snapshot')).toEqual([
      { resource: 'snapshot', filters: ['name', 'status', 'volume_id', 'metadata'] },
    ])
    expect(await told('3.33', '?resource=nonsense')).toEqual([])
    const late = Object.fromEntries((await told('3.66')).map((one: { resource: string; filters: string[] }) => [one.resource, one.filters]))
    expect(late['volume']).toEqual(expect.arrayContaining(['name~', 'created_at', 'consumes_quota', 'size']))
    expect(late['volume_type']).toEqual(['is_public', 'extra_specs'])
    // Each is taken by its list as it is told.
    for (const name of late['volume']) {
      const value = name.endsWith('_at') ? 'gt:2000-01-01T00:00:00Z' : 'true'
      await api.as('member', { 'OpenStack-API-Version': 'volume 3.66' }).get(`${V3}/volumes?${name}=${value}`).expect(200)
    }
  })
})
