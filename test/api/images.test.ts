import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { covers, openApi, type TestApi } from '../support/api.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const V21 = 'application/openstack-images-v2.1-json-patch'
const V20 = 'application/openstack-images-v2.0-json-patch'
type Role = Parameters<TestApi['caller']>[0]

const create = async (body: object = {}, role: Role = 'member') =>
  (
    await api
      .as(role)
      .post('/image/v2/images')
      .send({ name: 'i', disk_format: 'raw', container_format: 'bare', ...body })
      .expect(201)
  ).body
const patch = (id: string, changes: unknown, role: Role = 'member', type = V21) =>
  api.as(role).patch(`/image/v2/images/${id}`).set('Content-Type', type).send(JSON.stringify(changes))
const list = async (query: string, role: Role = 'member') => (await api.as(role).get(`/image/v2/images${query}`).expect(200)).body
const ids = (page: { images: { id: string }[] }) => page.images.map((image) => image.id)
const active = async (id: string) =>
  await api.db.transaction((stores) => stores.images.transition(id, ['queued'], { status: 'active', size: 3 }))

describe('creating an image', () => {
  it('answers the whole record, queued and shared, custom properties beside the rest', async () => {
    covers('createImage', 'success')
    const answer = await api
      .as('member')
      .post('/image/v2/images')
      .send({ name: 'n', tags: ['b', 'a', 'a'], os_type: 'linux' })
      .expect(201)
    expect(answer.headers['location']).toMatch(new RegExp(`^http.*/image/v2/images/${answer.body.id}$`))
    expect(answer.body).toMatchObject({
      name: 'n',
      status: 'queued',
      visibility: 'shared',
      owner: api.projectId('member'),
      os_type: 'linux',
    })
    expect(answer.body).toMatchObject({ size: null, checksum: null, os_hash_algo: null, protected: false, os_hidden: false, min_disk: 0 })
    expect(answer.body).toMatchObject({
      self: `/v2/images/${answer.body.id}`,
      file: `/v2/images/${answer.body.id}/file`,
      schema: '/v2/schemas/image',
    })
    expect(answer.body.tags.sort()).toEqual(['a', 'b'])
    expect(answer.body.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  })

  it('takes the id the caller chose, once', async () => {
    const id = randomUUID()
    expect((await create({ id })).id).toBe(id)
    await api.as('member').post('/image/v2/images').send({ id }).expect(409)
    await api.as('foreign').post('/image/v2/images').send({ id }).expect(409)
  })

  it.each([
    [{ name: 'x'.repeat(256) }, 400],
    [{ id: 'no-uuid' }, 400],
    [{ visibility: 'secret' }, 400],
    [{ disk_format: 'vmdk' }, 400],
    [{ container_format: 'ova' }, 400],
    [{ min_disk: -1 }, 400],
    [{ protected: 'maybe' }, 400],
    [{ my_number: 5 }, 400],
    [{ tags: ['x'.repeat(256)] }, 400],
    [{ status: 'active' }, 403],
    [{ size: 3 }, 403],
    [{ location: 'file:///etc/passwd' }, 403],
    [{ os_glance_x: 'y' }, 403],
    [{ visibility: 'public' }, 403],
    [{ owner: 'somebody' }, 403],
  ])('refuses %j with %i, as a page', async (body, status) => {
    covers('createImage', 'invalid')
    const answer = await api.as('member').post('/image/v2/images').send(body).expect(status)
    expect(answer.headers['content-type']).toContain('text/html')
    expect(answer.text).toContain(`<title>${status} `)
  })

  it('lets an admin publish and give away, and a reader do nothing', async () => {
    expect(await create({ visibility: 'public', owner: api.projectId('member') }, 'admin')).toMatchObject({
      visibility: 'public',
      owner: api.projectId('member'),
    })
    await api.as('reader').post('/image/v2/images').send({ name: 'r' }).expect(403)
  })
})

describe('showing an image', () => {
  it('shows own, public and community ones; for others it does not exist', async () => {
    covers('showImage', 'success', 'foreign')
    const { id } = await create()
    await api.as('member').get(`/image/v2/images/${id}`).expect(200)
    await api.as('reader').get(`/image/v2/images/${id}`).expect(200)
    const missing = await api.as('foreign').get(`/image/v2/images/${id}`).expect(404)
    expect(missing.text).toContain(`No image found with ID ${id}`)
    await patch(id, [{ op: 'replace', path: '/visibility', value: 'community' }]).expect(200)
    await api.as('foreign').get(`/image/v2/images/${id}`).expect(200)
    await api.as('member').get('/image/v2/images/a%20name').expect(404)
    await api.as('member').get('/image/v2/images/').expect(404)
  })
})

describe('changing an image', () => {
  it('understands both media types, add, replace and remove', async () => {
    covers('updateImage', 'success')
    const { id } = await create({ 'a/b~c': '1' })
    const changed = await patch(id, [
      { op: 'replace', path: '/name', value: 'new' },
      { op: 'add', path: '/k', value: 'v' },
      { op: 'replace', path: '/a~1b~0c', value: '2' },
      { op: 'add', path: '/min_ram', value: 64 },
      { op: 'replace', path: '/tags', value: ['t'] },
      { op: 'replace', path: '/protected', value: true },
    ]).expect(200)
    expect(changed.body).toMatchObject({ name: 'new', k: 'v', 'a/b~c': '2', min_ram: 64, tags: ['t'], protected: true })
    const old = await patch(id, [{ replace: '/name', value: 'older' }, { remove: '/k' }, { add: '/l', value: 'm' }], 'member', V20).expect(
      200,
    )
    expect(old.body).toMatchObject({ name: 'older', l: 'm' })
    expect(old.body).not.toHaveProperty('k')
  })

  it.each([
    [{ name: 'x' }, 400],
    [[{ op: 'move', path: '/name', value: 'x' }], 400],
    [[{ op: 'replace', path: 'name', value: 'x' }], 400],
    [[{ op: 'replace', path: '/a/b', value: 'x' }], 400],
    [[{ op: 'replace', path: '/a~2', value: 'x' }], 400],
    [[{ op: 'replace', path: '/name' }], 400],
    [[{ op: 'replace', path: '/min_disk', value: 'x' }], 400],
    [[{ op: 'add', path: '/k', value: { deep: true } }], 400],
    [[{ op: 'replace', path: '/visibility', value: 'everyone' }], 400],
    [[{ op: 'replace', path: '/id', value: 'x' }], 403],
    [[{ op: 'replace', path: '/status', value: 'active' }], 403],
    [[{ op: 'add', path: '/locations', value: [] }], 403],
    [[{ op: 'remove', path: '/name' }], 403],
    [[{ op: 'replace', path: '/visibility', value: 'public' }], 403],
    [[{ op: 'replace', path: '/owner', value: 'x' }], 403],
    [[{ op: 'replace', path: '/nothing', value: 'x' }], 409],
    [[{ op: 'remove', path: '/nothing' }], 409],
  ])('refuses %j with %i and changes nothing', async (changes, status) => {
    covers('updateImage', 'invalid')
    const { id } = await create()
    await patch(id, changes).expect(status)
    const first = [{ op: 'replace', path: '/name', value: 'half' }]
    if (Array.isArray(changes)) await patch(id, [...first, ...changes]).expect(status)
    expect((await api.as('member').get(`/image/v2/images/${id}`)).body.name).toBe('i')
  })

  it.each(['constructor', '__proto__', 'hasOwnProperty', 'toString'])('takes %s for a property as any other', async (name) => {
    const { id } = await create()
    const changed = await patch(id, [{ op: 'add', path: `/${name}`, value: 'v' }]).expect(200)
    expect(changed.text).toContain(`"${name}":"v"`)
  })

  it('takes 128 properties and no more', async () => {
    const many = Object.fromEntries(Array.from({ length: 128 }, (_, index) => [`k${index}`, 'v']))
    const { id } = await create(many)
    expect((await patch(id, [{ op: 'add', path: '/more', value: 'v' }]).expect(413)).text).toContain('Attempted: 129, Maximum: 128')
    await patch(id, [{ op: 'replace', path: '/k0', value: 'w' }]).expect(200)
    await api
      .as('member')
      .post('/image/v2/images')
      .send({ ...many, more: 'v' })
      .expect(413)
  })

  it('names the read-only attribute', async () => {
    const { id } = await create()
    expect((await patch(id, [{ op: 'replace', path: '/id', value: 'x' }])).text).toContain('Attribute &#x27;id&#x27; is read-only.')
  })

  it('says which media types it takes', async () => {
    const { id } = await create()
    const answer = await patch(id, [], 'member', 'application/json').expect(415)
    expect(answer.headers['accept-patch']).toContain(V21)
  })

  it('fixes the format once there is data', async () => {
    covers('updateImage', 'wrong state')
    const { id } = await create()
    await patch(id, [{ op: 'replace', path: '/disk_format', value: 'qcow2' }]).expect(200)
    await active(id)
    await patch(id, [{ op: 'replace', path: '/disk_format', value: 'raw' }]).expect(403)
  })

  it("is the owner's: 404 for strangers, 403 where they may look", async () => {
    covers('updateImage', 'foreign')
    const { id } = await create()
    const change = [{ op: 'replace', path: '/name', value: 'mine' }]
    await patch(id, change, 'foreign').expect(404)
    await patch(id, change, 'reader').expect(403)
    const open = await create({ visibility: 'public' }, 'admin')
    await patch(open.id, change).expect(403)
  })
})

describe('deleting an image', () => {
  it('is for good, and once', async () => {
    covers('deleteImage', 'success', 'foreign')
    const { id } = await create()
    await api.as('foreign').delete(`/image/v2/images/${id}`).expect(404)
    await api.as('reader').delete(`/image/v2/images/${id}`).expect(403)
    await api.as('member').delete(`/image/v2/images/${id}`).expect(204)
    await api.as('member').get(`/image/v2/images/${id}`).expect(404)
    await api.as('member').delete(`/image/v2/images/${id}`).expect(404)
    expect(ids(await list(''))).not.toContain(id)
    await api.as('admin').get(`/image/v2/images/${id}`).expect(404)
  })

  it("is refused while the image is protected, or not the caller's", async () => {
    covers('deleteImage', 'wrong state')
    const { id } = await create({ protected: true })
    const answer = await api.as('member').delete(`/image/v2/images/${id}`).expect(403)
    expect(answer.text).toContain(`Image ${id} is protected and cannot be deleted.`)
    const open = await create({ visibility: 'public' }, 'admin')
    await api.as('member').delete(`/image/v2/images/${open.id}`).expect(403)
    await api.as('member').delete('/image/v2/images/').expect(404)
  })
})

describe('tags', () => {
  it('are added and removed one by one', async () => {
    covers('addImageTag', 'success', 'foreign')
    covers('deleteImageTag', 'success', 'foreign', 'wrong state')
    const { id } = await create()
    const url = `/image/v2/images/${id}/tags/a%20%C3%BC`
    await api.as('member').put(url).expect(204)
    await api.as('member').put(url).expect(204)
    expect((await api.as('member').get(`/image/v2/images/${id}`)).body.tags).toEqual(['a ü'])
    await api.as('foreign').put(url).expect(404)
    await api.as('foreign').delete(url).expect(404)
    await api.as('member').delete(url).expect(204)
    await api.as('member').delete(url).expect(404)
    await api
      .as('member')
      .put(`/image/v2/images/${id}/tags/${'x'.repeat(256)}`)
      .expect(400)
  })
})

describe('deactivating', () => {
  it("is the admin's, and only from active", async () => {
    covers('deactivateImage', 'success', 'foreign', 'wrong state')
    covers('reactivateImage', 'success', 'foreign', 'wrong state')
    const { id } = await create()
    const act = (role: Role, verb: string) => api.as(role).post(`/image/v2/images/${id}/actions/${verb}`)
    await act('admin', 'deactivate').expect(403)
    await active(id)
    await act('foreign', 'deactivate').expect(404)
    await act('foreign', 'reactivate').expect(404)
    await act('member', 'deactivate').expect(403)
    await act('admin', 'deactivate').expect(204)
    await act('admin', 'deactivate').expect(204)
    expect((await api.as('member').get(`/image/v2/images/${id}`)).body.status).toBe('deactivated')
    await act('member', 'reactivate').expect(403)
    await act('admin', 'reactivate').expect(204)
    await act('admin', 'reactivate').expect(204)
    const queued = await create()
    await api.as('admin').post(`/image/v2/images/${queued.id}/actions/reactivate`).expect(403)
  })
})

describe('schemas', () => {
  it.each(['image', 'images', 'member', 'members'])('describe %s', async (name) => {
    covers('showImageSchema', 'success')
    covers('showImagesSchema', 'success')
    covers('showImageMemberSchema', 'success')
    covers('showImageMembersSchema', 'success')
    covers('showImageImport', 'success')
    expect((await api.as('member').get(`/image/v2/schemas/${name}`).expect(200)).body).toMatchObject({
      name,
      properties: expect.any(Object),
    })
    await api.as('member').get(`/image/v2/schemas/metadefs/${name}`).expect(404)
    expect((await api.as('member').get('/image/v2/info/import').expect(200)).body['import-methods'].value).toEqual([])
  })
})
