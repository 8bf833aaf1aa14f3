/** A POST with an Idempotency-Key is done once, whatever happens to its answer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openApi, type TestApi } from '../support/api.js'
import { V3, volumeIn } from '../support/volumes.js'

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

  it('of another user of the project is another request', async () => {
    const projectId = api.projectId('member')
    const roleId = (await api.services.identity.listRoles(api.caller('admin'), { name: 'member' }))[0]?.id ?? ''
    await api.services.identity.assignRole(api.caller('admin'), { projectId, userId: api.caller('foreign').userId, roleId })
    const token = await api.services.identity.issueToken(
      {
        methods: ['password'],
        password: { user: { name: 'foreign', password: 'foreign-secret' } },
        project: { id: projectId },
        unscoped: false,
        address: 'test',
      },
      (_view, secret) => secret,
    )
    const request = (headers: Record<string, string>) =>
      api
        .as('member', { 'Idempotency-Key': 'colleagues', ...headers })
        .post('/compute/v2.1/os-keypairs')
        .send({ keypair: { name: 'pair' } })
    const mine = (await request({}).expect(200)).body.keypair
    const theirs = (await request({ 'X-Auth-Token': token }).expect(200)).body.keypair
    expect(theirs.user_id).toBe(api.caller('foreign').userId)
    expect(theirs.private_key).not.toBe(mine.private_key)
  })

  it('that was refused may be tried again', async () => {
    const request = (size: number) =>
      api.as('member', { 'Idempotency-Key': 'mended' }).post('/volume/v3/volumes').send({ volume: { size } })
    await request(-1).expect(400)
    await request(1).expect(202)
  })

  it('is forgotten after a day', async () => {
    const { idempotencyKeys } = api.db.read
    const [row] = await idempotencyKeys.list('any', { limit: 1 })
    await api.db.transaction((stores) => stores.idempotencyKeys.update(row?.id ?? '', { createdAt: 1 }))
    expect(await api.services.idempotency.purge()).toBe(1)
  })
})

describe('what is told once', () => {
  const member = (key: string) => api.as('member', { 'Idempotency-Key': key })
  const kept = async () => (await api.db.read.idempotencyKeys.list('any', {})).map((row) => row.response).join('\n')
  let offered = ''
  let booted = ''
  beforeAll(async () => {
    offered = await volumeIn(api)
    booted = await volumeIn(api)
    await api
      .as('member')
      .post(`${V3}/volumes/${booted}/action`)
      .send({ 'os-set_bootable': { bootable: true } })
      .expect(200)
  })
  const mapping = () => [{ boot_index: 0, uuid: booted, source_type: 'volume', destination_type: 'volume' }]
  const asks = {
    keypair: () =>
      member('keypair')
        .post('/compute/v2.1/os-keypairs')
        .send({ keypair: { name: 'once' } }),
    transfer: () =>
      member('transfer')
        .post(`${V3}/os-volume-transfer`)
        .send({ transfer: { volume_id: offered } }),
    server: () =>
      member('server')
        .post('/compute/v2.1/servers')
        .send({ server: { name: 'once', flavorRef: '1', block_device_mapping_v2: mapping() } }),
  }
  const cases = [
    ['keypair', 'private_key'],
    ['transfer', 'auth_key'],
    ['server', 'adminPass'],
  ] as const
  it.each(cases)('of a %s, its %s, is neither kept nor told again', async (kind, field) => {
    const first = (await asks[kind]()).body[kind]
    const again = (await asks[kind]()).body[kind]
    const { [field]: secret, ...rest } = first
    expect(secret).toEqual(expect.any(String))
    expect(again).toEqual(rest)
    const responses = await kept()
    expect(responses).toContain(rest.id ?? rest.fingerprint)
    expect(responses).not.toContain(JSON.stringify(secret))
    expect(responses).not.toContain(field)
  })
})

describe('a key', () => {
  it('has a sensible length', async () => {
    await create('member', 'k'.repeat(256)).expect(400)
  })
})
