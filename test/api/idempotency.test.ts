/** A POST with an Idempotency-Key is done once, whatever happens to its answer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openApi, type TestApi } from '../support/api.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const create = (role: 'member' | 'foreign', key: string, size = 1) =>
  api
    .as(role, { 'Idempotency-Key': key })
    .post('/volume/v3/volumes')
    .send({ volume: { size, name: key } })
const count = async (role: 'member' | 'foreign', name: string): Promise<number> =>
  (await api.as(role).get(`/volume/v3/volumes?name=${name}`).expect(200)).body.volumes.length

describe('a repeated request', () => {
  it('gets the first answer and makes nothing new', async () => {
    const first = await create('member', 'once').expect(202)
    const again = await create('member', 'once').expect(202)
    expect(again.body).toEqual(first.body)
    expect(again.headers['x-openstack-request-id']).not.toBe(first.headers['x-openstack-request-id'])
    expect(await count('member', 'once')).toBe(1)
  })

  it('that races its twin is done once', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => create('member', 'race')))
    expect(answers.map((answer) => answer.status)).toEqual(Array.from({ length: 8 }, () => 202))
    expect(new Set(answers.map((answer) => answer.body.volume.id)).size).toBe(1)
    expect(await count('member', 'race')).toBe(1)
  })

  it('that says something else is refused', async () => {
    await create('member', 'twist').expect(202)
    await create('member', 'twist', 2).expect(422)
  })

  it('of another project is another request', async () => {
    await create('member', 'shared').expect(202)
    await create('foreign', 'shared').expect(202)
    expect(await count('foreign', 'shared')).toBe(1)
  })

  it('that was refused may be tried again', async () => {
    const request = (size: number) =>
      api.as('member', { 'Idempotency-Key': 'mended' }).post('/volume/v3/volumes').send({ volume: { size } })
    await request(-1).expect(400)
    await request(1).expect(202)
  })

  it('is forgotten after a day', async () => {
    const { idempotencyKeys } = api.db.read
    const [row] = await idempotencyKeys.list('any', { where: { key: { is: 'once' } } })
    await api.db.transaction((stores) => stores.idempotencyKeys.update(row?.id ?? '', { createdAt: 1 }))
    expect(await api.services.idempotency.purge()).toBe(1)
  })
})

describe('a key', () => {
  it('has a sensible length', async () => {
    await create('member', 'k'.repeat(256)).expect(400)
  })
})
