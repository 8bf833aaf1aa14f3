/** Keystone as clients use it: tokens, the catalog, and what dynamic credentials need. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { covers, openApi, type TestApi } from '../support/api.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const TOKENS = '/identity/v3/auth/tokens'
const DEFAULT = { name: 'Default' }
const password = (name: string, secret: string, scope?: object | string) => ({
  auth: {
    identity: { methods: ['password'], password: { user: { name, domain: DEFAULT, password: secret } } },
    ...(scope === undefined ? {} : { scope }),
  },
})
const tenant = { project: { name: 'tenant', domain: DEFAULT } }
const ask = (body: object) => api.as(null).post(TOKENS).send(body)
const subject = (secret: string) => ({ 'X-Subject-Token': secret })

async function login(name = 'member', secret = `${name}-secret`, scope: object | string | undefined = tenant): Promise<string> {
  return (await ask(password(name, secret, scope)).expect(201)).headers['x-subject-token'] as string
}

describe('a token', () => {
  it('is given for a password and a project, with roles and a catalog clients can follow', async () => {
    covers('createToken', 'success')
    const answer = await ask(password('member', 'member-secret', tenant)).expect(201)
    expect(answer.headers['x-subject-token']).toMatch(/^gAAAA/)
    expect(answer.headers['vary']).toBe('X-Auth-Token')
    const { token } = answer.body
    expect(token).toMatchObject({
      methods: ['password'],
      user: { name: 'member', domain: { id: 'default', name: 'Default' } },
      project: { id: api.projectId('member'), name: 'tenant', domain: { id: 'default', name: 'Default' } },
      roles: [{ name: 'member' }],
      is_domain: false,
    })
    expect(token.expires_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    const urls = Object.fromEntries(
      token.catalog.map((entry: { type: string; endpoints: { url: string }[] }) => [
        entry.type,
        new URL(entry.endpoints[0]?.url ?? '').pathname,
      ]),
    )
    expect(urls).toMatchObject({
      identity: '/identity/v3',
      compute: '/compute/v2.1',
      volumev3: `/volume/v3/${api.projectId('member')}`,
      'block-storage': `/volume/v3/${api.projectId('member')}`,
      image: '/image',
    })
    expect(token.catalog[0].endpoints.map((endpoint: { interface: string }) => endpoint.interface)).toEqual(['public', 'internal', 'admin'])
  })

  it('is given for a domain by id, a project by id, a user by id', async () => {
    const { userId, projectId } = api.caller('member')
    const body = {
      auth: {
        identity: { methods: ['password'], password: { user: { id: userId, password: 'member-secret' } } },
        scope: { project: { id: projectId } },
      },
    }
    await ask(body).expect(201)
    await ask(password('member', 'member-secret', { project: { name: 'tenant', domain: { id: 'default' } } })).expect(201)
  })

  it('is given without a scope, and is then good for finding one', async () => {
    covers('listOwnProjects', 'success')
    const answer = await ask(password('member', 'member-secret', 'unscoped')).expect(201)
    expect(answer.body.token).not.toHaveProperty('project')
    expect(answer.body.token).not.toHaveProperty('catalog')
    const unscoped = { 'X-Auth-Token': answer.headers['x-subject-token'] ?? '' }
    const projects = await api.as(null, unscoped).get('/identity/v3/auth/projects').expect(200)
    expect(projects.body.projects.map((project: { name: string }) => project.name)).toEqual(['tenant'])
    await api.as(null, unscoped).get('/volume/v3/volumes').expect(403)
    await api.as(null, unscoped).get('/identity/v3/auth/catalog').expect(403)
  })

  it('is given for a token, and lives no longer than that one', async () => {
    const first = await ask(password('member', 'member-secret', 'unscoped')).expect(201)
    const secret = first.headers['x-subject-token']
    const second = await ask({ auth: { identity: { methods: ['token'], token: { id: secret } }, scope: tenant } }).expect(201)
    expect(second.body.token.expires_at).toBe(first.body.token.expires_at)
    expect(second.body.token.methods.sort()).toEqual(['password', 'token'])
  })

  it('is refused in one sentence, whatever was wrong', async () => {
    const sentence = 'The request you have made requires authentication.'
    const wrong = [
      password('member', 'wrong', tenant),
      password('nobody', 'wrong', tenant),
      password('member', 'member-secret', { project: { name: 'other', domain: DEFAULT } }),
      password('member', 'member-secret', { project: { name: 'nowhere', domain: DEFAULT } }),
      password('member', 'member-secret', { project: { name: 'tenant', domain: { name: 'Elsewhere' } } }),
      { auth: { identity: { methods: ['token'], token: { id: 'gAAAAnever' } }, scope: tenant } },
    ]
    for (const body of wrong) {
      const answer = await ask(body).expect(401)
      expect(answer.body).toEqual({ error: { code: 401, message: sentence, title: 'Unauthorized' } })
      expect(answer.headers['www-authenticate']).toMatch(/^Keystone uri="http:\/\/[^"]+\/identity\/v3"$/)
    }
  })

  it('is not given for a malformed request', async () => {
    covers('createToken', 'invalid')
    const empty = await ask({}).expect(400)
    expect(empty.body.error.message).toMatch(/^Expecting to find auth in request body\. The server could not comply/)
    await ask({ auth: {} }).expect(400)
    await ask({ auth: { identity: { methods: ['password'] } } }).expect(400)
    await ask({ auth: { identity: { methods: ['kerberos'] } } }).expect(401)
  })

  it('is shown to its holder and to admins, and to nobody else', async () => {
    covers('showToken', 'success', 'foreign')
    const secret = await login()
    const shown = await api
      .as(null, { 'X-Auth-Token': secret, ...subject(secret) })
      .get(TOKENS)
      .expect(200)
    expect(shown.headers['x-subject-token']).toBe(secret)
    expect(shown.body.token.user.name).toBe('member')
    expect((await api.as('admin', subject(secret)).get(`${TOKENS}?nocatalog`).expect(200)).body.token).not.toHaveProperty('catalog')
    await api.as('admin', subject(secret)).head(TOKENS).expect(200)
    const hidden = await api.as('foreign', subject(secret)).get(TOKENS).expect(404)
    expect(hidden.body.error.message).toBe('Could not recognize Fernet token')
    await api.as('admin', subject('gAAAAnever')).get(TOKENS).expect(404)
    await api.as('admin').get(TOKENS).expect(404)
  })

  it('ends the moment it is revoked', async () => {
    covers('revokeToken', 'success', 'foreign')
    const secret = await login()
    const own = { 'X-Auth-Token': secret, ...subject(secret) }
    await api.as('foreign', subject(secret)).delete(TOKENS).expect(404)
    await api.as(null, own).delete(TOKENS).expect(204)
    await api.as(null, own).get('/volume/v3/volumes').expect(401)
    await api.as('admin', subject(secret)).get(TOKENS).expect(404)
  })

  it('is stored only as a hash, and its secret is nowhere', async () => {
    const secret = await login()
    const rows = JSON.stringify(await api.db.read.tokens.list('any'))
    expect(rows).not.toContain(secret)
    expect(rows).not.toContain('member-secret')
  })

  it('that has expired is no token, and is swept away', async () => {
    const short = await openApi({ services: { clock: { now: () => now, monotonic: () => now, sleep: async () => {} } } })
    try {
      await short.as('member').get('/volume/v3/volumes').expect(200)
      now += 3_600_000_000
      await short.as('member').get('/volume/v3/volumes').expect(401)
      expect(await short.services.identity.purgeTokens()).toBe(4)
      expect(await short.db.read.tokens.count('any')).toBe(0)
    } finally {
      await short.close()
    }
  })
  let now = Date.now() * 1000
})

describe('logging in', () => {
  it('is throttled by user and address after ten wrong passwords', async () => {
    for (let tries = 0; tries < 10; tries++) await ask(password('reader', 'wrong', tenant)).expect(401)
    await ask(password('reader', 'reader-secret', tenant)).expect(401)
    await ask(password('foreign', 'foreign-secret')).expect(201)
  })
})

describe('the catalog and the domain', () => {
  it('are shown to everyone with a scoped token', async () => {
    covers('showCatalog', 'success')
    covers('listDomains', 'success')
    covers('showDomain', 'success')
    const { body } = await api.as('reader').get('/identity/v3/auth/catalog').expect(200)
    expect(body.catalog.length).toBeGreaterThan(4)
    expect(body.links).toMatchObject({ next: null, previous: null })
    expect((await api.as('admin').get('/identity/v3/domains?name=Default').expect(200)).body.domains).toHaveLength(1)
    expect((await api.as('admin').get('/identity/v3/domains?name=Other').expect(200)).body.domains).toHaveLength(0)
    expect((await api.as('member').get('/identity/v3/domains/default').expect(200)).body.domain.name).toBe('Default')
    await api.as('member').get('/identity/v3/domains/other').expect(404)
  })
})
