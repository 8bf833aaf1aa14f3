/** Volume types and their extra specs. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { covers, openApi, type TestApi } from '../../support/api.js'
import { requestVolume, V3 } from '../../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const TYPES = `${V3}/types`
const create = async (name: string, more: object = {}): Promise<string> =>
  (
    await api
      .as('admin')
      .post(TYPES)
      .send({ volume_type: { name, ...more } })
      .expect(200)
  ).body.volume_type.id

describe('types', () => {
  it('begin with the default one', async () => {
    covers('listVolumeTypes', 'success')
    covers('showDefaultVolumeType', 'success', 'foreign', 'invalid')
    const { body } = await api.as('reader').get(`${TYPES}/default`).expect(200)
    expect(body.volume_type).toMatchObject({
      name: '__DEFAULT__',
      is_public: true,
      'os-volume-type-access:is_public': true,
      extra_specs: {},
    })
    const listed = await api.as('member').get(`${TYPES}?is_public=None`).expect(200)
    expect(listed.body.volume_types).toContainEqual(body.volume_type)
  })

  it('are created, changed and deleted by admins', async () => {
    covers('createVolumeType', 'success')
    covers('updateVolumeType', 'success')
    covers('deleteVolumeType', 'success')
    covers('showVolumeType', 'success')
    const id = await create('gold "x"\n', { description: 'd', extra_specs: { k: 'v' } })
    expect((await api.as('member').get(`${TYPES}/${id}`).expect(200)).body.volume_type).toMatchObject({
      name: 'gold "x"',
      extra_specs: { k: 'v' },
    })
    const changed = await api
      .as('admin')
      .put(`${TYPES}/${id}`)
      .send({ volume_type: { name: 'silver', is_public: false } })
      .expect(200)
    expect(changed.body.volume_type).toEqual({ id, name: 'silver', description: 'd', is_public: false, extra_specs: { k: 'v' } })
    await api.as('admin').delete(`${TYPES}/${id}`).expect(202)
    await api.as('admin').get(`${TYPES}/${id}`).expect(404)
  })

  it('that are private are there for admins alone', async () => {
    covers('showVolumeType', 'foreign')
    covers('listVolumeTypes', 'foreign')
    const id = await create('hidden', { 'os-volume-type-access:is_public': false })
    await api.as('member').get(`${TYPES}/${id}`).expect(404)
    await api
      .as('member')
      .post(`${V3}/volumes`)
      .send({ volume: { size: 1, volume_type: 'hidden' } })
      .expect(404)
    const names = async (role: 'member' | 'admin', query = '') =>
      (await api.as(role).get(`${TYPES}${query}`).expect(200)).body.volume_types.map(({ name }: { name: string }) => name)
    expect(await names('member', '?is_public=None')).not.toContain('hidden')
    expect(await names('admin')).not.toContain('hidden')
    expect(await names('admin', '?is_public=None')).toContain('hidden')
    expect(await names('admin', '?is_public=False')).toEqual(['hidden'])
  })

  it('are refused when taken, nameless, in use, the default, or to tenants', async () => {
    covers('createVolumeType', 'invalid', 'foreign', 'wrong state')
    covers('updateVolumeType', 'invalid', 'foreign', 'wrong state')
    covers('deleteVolumeType', 'invalid', 'foreign', 'wrong state')
    covers('listVolumeTypes', 'invalid')
    covers('showVolumeType', 'invalid')
    const id = await create('bronze')
    const taken = await api
      .as('admin')
      .post(TYPES)
      .send({ volume_type: { name: 'bronze' } })
      .expect(409)
    expect(taken.body.conflictingRequest.message).toBe('Volume Type bronze already exists.')
    for (const volume_type of [
      {},
      { name: '' },
      { name: '   ' },
      { name: 'x'.repeat(256) },
      { name: null },
      { name: 'y', extra_specs: { 'a,b': 'c' } },
    ])
      await api.as('admin').post(TYPES).send({ volume_type }).expect(400)
    await api.as('admin').put(`${TYPES}/${id}`).send({ volume_type: {} }).expect(400)
    await api
      .as('admin')
      .put(`${TYPES}/${id}`)
      .send({ volume_type: { name: '__DEFAULT__' } })
      .expect(409)
    await api
      .as('admin')
      .put(`${TYPES}/${randomUUID()}`)
      .send({ volume_type: { name: 'z' } })
      .expect(404)
    await requestVolume(api, 'member', { size: 1, volume_type: 'bronze' })
    const used = await api.as('admin').delete(`${TYPES}/${id}`).expect(400)
    expect(used.body.badRequest.message).toBe('Target volume type is still in use.')
    const { body } = await api.as('admin').get(`${TYPES}/default`)
    await api.as('admin').delete(`${TYPES}/${body.volume_type.id}`).expect(400)
    await api
      .as('admin')
      .put(`${TYPES}/${body.volume_type.id}`)
      .send({ volume_type: { name: 'other' } })
      .expect(400)
    await api.as('admin').delete(`${TYPES}/nope`).expect(404)
    await api.as('member').get(`${TYPES}/nope`).expect(404)
    await api.as('member').get(`${TYPES}?limit=-1`).expect(400)
    await api
      .as('member')
      .post(TYPES)
      .send({ volume_type: { name: 'mine' } })
      .expect(403)
    await api
      .as('member')
      .put(`${TYPES}/${id}`)
      .send({ volume_type: { name: 'mine' } })
      .expect(403)
    await api.as('member').delete(`${TYPES}/${id}`).expect(403)
  })
})

describe('extra specs', () => {
  it('are added, shown, set and deleted one by one', async () => {
    covers('listVolumeTypeExtraSpecs', 'success')
    covers('createVolumeTypeExtraSpecs', 'success')
    covers('showVolumeTypeExtraSpec', 'success')
    covers('updateVolumeTypeExtraSpec', 'success')
    covers('deleteVolumeTypeExtraSpec', 'success')
    const specs = `${TYPES}/${await create('specs')}/extra_specs`
    const sent = { spec1: 'v1', spec2: 'v2' }
    expect((await api.as('admin').post(specs).send({ extra_specs: sent }).expect(200)).body).toEqual({ extra_specs: sent })
    expect((await api.as('admin').put(`${specs}/spec2`).send({ spec2: 'new' }).expect(200)).body).toEqual({ spec2: 'new' })
    expect((await api.as('member').get(`${specs}/spec2`).expect(200)).body).toEqual({ spec2: 'new' })
    await api.as('admin').delete(`${specs}/spec1`).expect(202)
    expect((await api.as('member').get(specs).expect(200)).body).toEqual({ extra_specs: { spec2: 'new' } })
  })

  it('are refused when empty, mismatched, unknown, or to tenants', async () => {
    covers('listVolumeTypeExtraSpecs', 'foreign', 'invalid')
    covers('createVolumeTypeExtraSpecs', 'invalid', 'foreign')
    covers('showVolumeTypeExtraSpec', 'invalid', 'foreign')
    covers('updateVolumeTypeExtraSpec', 'invalid', 'foreign')
    covers('deleteVolumeTypeExtraSpec', 'invalid', 'foreign')
    const specs = `${TYPES}/${await create('strict', { extra_specs: { spec1: 'v' } })}/extra_specs`
    for (const body of [{}, { extra_specs: {} }, { extra_specs: { 'a,b': 'c' } }, { extra_specs: { a: 1 } }])
      await api.as('admin').post(specs).send(body).expect(400)
    for (const body of [{}, { spec2: 'x' }, { spec1: 'x', spec2: 'y' }, { spec1: null }])
      await api.as('admin').put(`${specs}/spec1`).send(body).expect(400)
    await api.as('admin').put(`${specs}/None`).send({ spec1: 'x' }).expect(400)
    const unknown = `${TYPES}/${randomUUID()}/extra_specs`
    await api
      .as('admin')
      .post(unknown)
      .send({ extra_specs: { a: 'b' } })
      .expect(404)
    await api.as('admin').put(`${unknown}/a`).send({ a: 'b' }).expect(404)
    await api.as('admin').get(unknown).expect(404)
    const { body } = await api.as('member').get(`${specs}/nope`).expect(404)
    expect(body.itemNotFound.message).toContain('has no extra specs with key nope.')
    await api.as('admin').delete(`${specs}/nope`).expect(404)
    await api
      .as('member')
      .post(specs)
      .send({ extra_specs: { a: 'b' } })
      .expect(403)
    await api.as('member').put(`${specs}/spec1`).send({ spec1: 'b' }).expect(403)
    await api.as('member').delete(`${specs}/spec1`).expect(403)
  })
})
