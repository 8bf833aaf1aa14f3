import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { covers, openApi, type TestApi } from '../support/api.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

type Role = Parameters<TestApi['caller']>[0]
const create = async (body: object = {}, role: Role = 'member') =>
  (
    await api
      .as(role)
      .post('/image/v2/images')
      .send({ disk_format: 'raw', container_format: 'bare', ...body })
      .expect(201)
  ).body
const list = async (query: string, role: Role = 'member') => (await api.as(role).get(`/image/v2/images${query}`).expect(200)).body
const names = (page: { images: { name: string }[] }) => page.images.map((image) => image.name)

type Page = { images: { name: string }[]; first: string; schema: string; next?: string }

describe('listing images', () => {
  it('pages by relative links to the end, each image once', async () => {
    covers('listImages', 'success')
    for (const name of ['p1', 'p2', 'p3', 'p4', 'p5']) await create({ name, pager: 'yes' })
    const seen: string[] = []
    let next: string | undefined = '/v2/images?limit=2&pager=yes&sort=name:asc'
    const pages: number[] = []
    while (next !== undefined) {
      const page: Page = (await api.as('member').get(`/image${next}`).expect(200)).body
      expect(page.first).toBe('/v2/images?limit=2&pager=yes&sort=name%3Aasc')
      expect(page.schema).toBe('/v2/schemas/images')
      pages.push(page.images.length)
      seen.push(...names(page))
      next = page.next
    }
    expect(seen).toEqual(['p1', 'p2', 'p3', 'p4', 'p5'])
    expect(pages).toEqual([2, 2, 1])
    expect((await list('?limit=0')).images).toEqual([])
    expect(names(await list('?pager=yes'))[0]).toBe('p5')
  })

  it('filters on attributes, tags and custom properties', async () => {
    const one = await create({ name: 'f-one', tags: ['red', 'big'], purpose: 'filter', min_ram: 7 })
    await create({ name: 'f-two', tags: ['red'], purpose: 'filter', disk_format: 'qcow2' })
    await create({ name: 'f-hidden', purpose: 'filter', os_hidden: true })
    await api.db.transaction((stores) => stores.images.update(one.id, { status: 'active', size: 100 }))
    const found = async (query: string) => names(await list(`?purpose=filter&sort=name:asc&${query}`))
    expect(await found('')).toEqual(['f-one', 'f-two'])
    expect(await found('name=f-two')).toEqual(['f-two'])
    expect(await found('name=in:f-two,"f-one",other')).toEqual(['f-one', 'f-two'])
    expect(await found('status=active')).toEqual(['f-one'])
    expect(await found('disk_format=qcow2')).toEqual(['f-two'])
    expect(await found('tag=red')).toEqual(['f-one', 'f-two'])
    expect(await found('tag=red&tag=big')).toEqual(['f-one'])
    expect(await found('size_min=50&size_max=100')).toEqual(['f-one'])
    expect(await found('size_max=99')).toEqual([])
    expect(await found('min_ram=7')).toEqual(['f-one'])
    expect(await found('os_hidden=True')).toEqual(['f-hidden'])
    expect(await found('protected=false')).toEqual(['f-one', 'f-two'])
    expect(await found(`owner=${api.projectId('foreign')}`)).toEqual([])
    expect(await found(`created_at=gte:${one.created_at}`)).toEqual(['f-one', 'f-two'])
    expect(await found('created_at=lt:2020-01-01T00:00:00Z')).toEqual([])
    expect(await found('nothing=like-this')).toEqual([])
  })

  it.each([
    'limit=-1',
    'limit=x',
    'marker=5a1c9b52-5e0e-4f4d-9d4c-3e6d5b3c2a10',
    'sort_key=nonsense',
    'sort_key=name&sort_dir=up',
    'sort=name:asc&sort_key=name',
    'sort_key=name&sort_key=id&sort_key=size&sort_dir=asc&sort_dir=asc',
    'visibility=secret',
    'member_status=maybe',
    'size_min=x',
    'size_max=-4',
    'protected=perhaps',
    'created_at=yesterday',
    'name=in:',
  ])('refuses ?%s', async (query) => {
    covers('listImages', 'invalid')
    await api.as('member').get(`/image/v2/images?${query}`).expect(400)
  })

  it('sorts by several keys and directions', async () => {
    for (const [name, min_ram] of [
      ['s-b', 1],
      ['s-a', 2],
      ['s-c', 3],
    ] as const)
      await create({ name, min_ram, sorted: 'yes' })
    expect(names(await list('?sorted=yes&sort_key=name&sort_dir=asc'))).toEqual(['s-a', 's-b', 's-c'])
    expect(names(await list('?sorted=yes&sort=status:asc,name:desc'))).toEqual(['s-c', 's-b', 's-a'])
    expect(names(await list('?sorted=yes&sort_key=created_at&sort_dir=asc'))).toEqual(['s-b', 's-a', 's-c'])
  })

  it('shows own and public images, community ones only when asked', async () => {
    await create({ name: 'v-private', visibility: 'private', who: 'member' })
    await create({ name: 'v-community', visibility: 'community', who: 'member' })
    await create({ name: 'v-public', visibility: 'public', who: 'member' }, 'admin')
    expect(names(await list('?who=member&sort=name:asc', 'foreign'))).toEqual(['v-public'])
    expect(names(await list('?who=member&visibility=community', 'foreign'))).toEqual(['v-community'])
    expect(names(await list('?who=member&visibility=private', 'foreign'))).toEqual([])
    expect(names(await list('?who=member&visibility=public'))).toEqual(['v-public'])
    expect(names(await list('?who=member&sort=name:asc'))).toEqual(['v-community', 'v-private', 'v-public'])
    expect(names(await list('?who=member&sort=name:asc', 'admin'))).toEqual(['v-community', 'v-private', 'v-public'])
    expect(names(await list('?who=member&visibility=private', 'admin'))).toEqual(['v-private'])
  })
})

describe('members of an image', () => {
  const url = (id: string, member?: string): string => `/image/v2/images/${id}/members${member === undefined ? '' : `/${member}`}`
  const other = () => api.projectId('foreign')

  it('are offered an image, decide, and then see it in their list', async () => {
    covers('createImageMember', 'success', 'foreign')
    covers('updateImageMember', 'success', 'invalid', 'foreign')
    covers('listImageMembers', 'success', 'foreign')
    covers('showImageMember', 'success', 'foreign')
    const { id } = await create({ name: 'm-shared' })
    await api.as('foreign').post(url(id)).send({ member: other() }).expect(404)
    const added = (await api.as('member').post(url(id)).send({ member: other() }).expect(200)).body
    expect(added).toMatchObject({ image_id: id, member_id: other(), status: 'pending', schema: '/v2/schemas/member' })
    await api.as('member').post(url(id)).send({ member: other() }).expect(409)
    await api.as('foreign').get(`/image/v2/images/${id}`).expect(200)
    expect(names(await list('?name=m-shared', 'foreign'))).toEqual([])
    expect(names(await list('?name=m-shared&member_status=pending&visibility=shared', 'foreign'))).toEqual(['m-shared'])

    await api.as('member').put(url(id, other())).send({ status: 'accepted' }).expect(403)
    await api.as('foreign').put(url(id, other())).send({ status: 'sure' }).expect(400)
    await api.as('foreign').put(url(id, other())).send({}).expect(400)
    expect((await api.as('foreign').put(url(id, other())).send({ status: 'accepted' }).expect(200)).body.status).toBe('accepted')
    expect(names(await list('?name=m-shared', 'foreign'))).toEqual(['m-shared'])

    await api.as('member').post(url(id)).send({ member: 'third' }).expect(200)
    expect((await api.as('member').get(url(id)).expect(200)).body.members).toHaveLength(2)
    expect((await api.as('foreign').get(url(id)).expect(200)).body.members).toHaveLength(1)
    await api.as('foreign').get(url(id, other())).expect(200)
    await api.as('foreign').get(url(id, 'third')).expect(404)
    const hidden = await create({ name: 'm-private', visibility: 'private' })
    await api.as('foreign').get(url(hidden.id)).expect(404)
    await api.as('foreign').put(url(hidden.id, other())).send({ status: 'accepted' }).expect(404)
  })

  it('lose the image when the owner takes it back', async () => {
    covers('deleteImageMember', 'success', 'foreign', 'wrong state')
    covers('createImageMember', 'invalid', 'wrong state')
    const { id } = await create({ name: 'm-back' })
    await api.as('member').post(url(id)).send({}).expect(400)
    await api.as('member').post(url(id)).send({ member: other() }).expect(200)
    await api.as('foreign').delete(url(id, other())).expect(403)
    await api.as('member').delete(url(id, other())).expect(204)
    await api.as('member').delete(url(id, other())).expect(404)
    await api.as('foreign').get(`/image/v2/images/${id}`).expect(404)
    await api.as('foreign').delete(url(id, other())).expect(404)
    const hidden = await create({ visibility: 'private' })
    await api.as('member').post(url(hidden.id)).send({ member: other() }).expect(403)
    await api.as('member').delete(url(hidden.id, other())).expect(403)
  })
})
