/** The order of a request, its headers, and bad input, told by the operations of our own API. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { actionsOf } from '../../api/actions.js'
import { endpointsOf, loadDocument } from '../../api/document.js'
import { openApi, type TestApi } from '../support/api.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const JOBS = '/strata/v1/jobs'

describe('a request', () => {
  it('without a token is refused before its body is looked at', async () => {
    await api.as(null).post('/identity/v3/projects').set('Content-Type', 'application/json').send('{').expect(401)
    await api.as('admin').post('/identity/v3/projects').set('Content-Type', 'application/json').send('{').expect(400)
  })

  it('with a token that was never given is refused', async () => {
    const answer = await api.as(null, { 'X-Auth-Token': 'gAAAAnonsense' }).get(JOBS).expect(401)
    expect(answer.body.error).toMatchObject({ code: 401, kind: 'unauthenticated' })
  })

  it('gets a fresh request id, whatever id it brings', async () => {
    const own = 'req-00000000-0000-4000-8000-000000000000'
    const first = await api.as('member', { 'X-OpenStack-Request-ID': own }).get(JOBS).expect(200)
    expect(first.headers['x-openstack-request-id']).toMatch(/^req-[0-9a-f]{8}-/)
    expect(first.headers['x-openstack-request-id']).not.toBe(own)
  })

  it('is told when it asks to close the connection that it is closed', async () => {
    const answer = await api.as('member').get(JOBS).set('Connection', 'close').expect(200)
    expect(answer.headers['connection']).toBe('close')
  })

  it('may be a HEAD wherever there is a GET, and gets no body', async () => {
    const answer = await api.as('member').head(JOBS).expect(200)
    expect(answer.text).toBeUndefined()
    expect(answer.headers['content-type']).toContain('application/json')
  })

  it('with an undeclared query parameter is served', async () => {
    await api.as('member').get(`${JOBS}?utterly=unknown&limit=1&limit=2`).expect(200)
  })

  it('with a query parameter of the wrong type is 400 in words', async () => {
    const answer = await api.as('member').get(`${JOBS}?limit=many`).expect(400)
    expect(answer.body.error.message).toBe("limit: 'many' is not of type 'integer'")
  })
})

describe('an unknown URL', () => {
  it('has each service its own 404', async () => {
    const volume = await api.as('member').get('/volume/v3/nonsense/at/all').expect(404)
    expect(volume.body).toEqual({
      message: 'The resource could not be found.<br /><br />\n\n\n',
      code: '404 Not Found',
      title: 'Not Found',
    })
    expect(volume.headers['openstack-api-version']).toBeUndefined()
    const compute = await api.as('member').get('/compute/v2.1/nonsense').expect(404)
    expect(compute.body).toEqual({ itemNotFound: { code: 404, message: 'The resource could not be found.' } })
    const image = await api.as('member').get('/image/v2/nonsense').expect(404)
    expect(image.headers['content-type']).toBe('text/html; charset=UTF-8')
    expect(image.text).toContain('<h1>404 Not Found</h1>')
    const identity = await api.as('member').get('/identity/v3/nonsense').expect(404)
    expect(identity.headers['content-type']).toContain('text/html')
    await api.as('member').get('/strata/v1/nonsense').expect(404)
    await api.as('member').get('/').expect(404)
  })

  it('is a path with an empty id', async () => {
    await api.as('member').get('/volume/v3/volumes/').expect(404)
    await api.as('member').delete('/volume/v3/volumes/').expect(404)
    await api.as('member').get('/image/v2/images/').expect(404)
    await api.as('member').get('//volume/v3/volumes').expect(404)
    await api.as('member').get('/volume/v3/volumes/%E0%A4%A').expect(404)
  })

  it('is an unknown method where the real service has no such route, else 405 with Allow', async () => {
    await api.as('member').patch('/volume/v3/volumes').expect(404)
    const answer = await api.as('member').put(JOBS).expect(405)
    expect(answer.headers['allow']).toBe('GET')
  })
})

describe('a body', () => {
  const create = (body: string | Buffer, type = 'application/json') =>
    api.as('admin').post('/identity/v3/users').set('Content-Type', type).send(body)

  it('that is no JSON, nothing, too deep, too large or not text is refused', async () => {
    for (const body of ['{"user":', '[]', '"user"', '5', 'null', '{}', `${'['.repeat(5000)}${']'.repeat(5000)}`])
      await create(body).expect(400)
    await create(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])).expect(400)
    await create(JSON.stringify({ user: { name: 'x'.repeat(200_000) } })).expect(413)
  })

  it('of another type is refused by the services that look at it', async () => {
    await api.as('member').post('/volume/v3/volumes').set('Content-Type', 'text/csv').send('a,b').expect(415)
  })
})

describe('a schema error', () => {
  const message = async (body: object): Promise<string> => {
    const answer = await api.as('member').post('/volume/v3/snapshots').send(body).expect(400)
    return answer.body.badRequest.message
  }

  it('is worded as Cinder words it', async () => {
    expect(await message({})).toBe("'snapshot' is a required property")
    expect(await message({ snapshot: {} })).toBe(
      "Invalid input for field/attribute snapshot. Value: {}. 'volume_id' is a required property",
    )
    expect(await message({ snapshot: { volume_id: '5a1c9b52-5e0e-4f4d-9d4c-3e6d5b3c2a10', extra: true } })).toContain(
      "Additional properties are not allowed ('extra' was unexpected)",
    )
  })
})

describe('a microversion', () => {
  const versions = (asked: string) => api.as('member', { 'OpenStack-API-Version': asked }).get('/volume/v3/volumes')

  it('is echoed, with Vary', async () => {
    const answer = await versions('compute 2.1, volume 3.10').expect(200)
    expect(answer.headers['openstack-api-version']).toBe('volume 3.10')
    expect(answer.headers['vary']).toBe('OpenStack-API-Version')
    expect((await versions('compute 2.5').expect(200)).headers['openstack-api-version']).toBe('volume 3.0')
  })

  it('out of range is 406, unparsable 400, and neither precedes 401', async () => {
    const refused = await versions('volume 3.999').expect(406)
    expect(refused.body.computeFault.message).toMatch(
      /^Version 3\.999 is not supported by the API\. Minimum is 3\.0 and maximum is 3\.\d+\.$/,
    )
    expect(refused.headers['openstack-api-version']).toBe('volume 3.999')
    expect((await versions('volume 2.0').expect(406)).headers['openstack-api-version']).toBeUndefined()
    const broken = await versions('volume abc').expect(400)
    expect(broken.body.badRequest.message).toBe('API Version String abc is of invalid format. Must be of format MajorNum.MinorNum.')
    await api.as(null, { 'OpenStack-API-Version': 'volume 3.999' }).get('/volume/v3/volumes').expect(401)
  })

  it('may come in Nova’s own header, and is told in both', async () => {
    const answer = await api.as('member', { 'X-OpenStack-Nova-API-Version': '2.3' }).get('/compute/v2.1/flavors').expect(200)
    expect(answer.headers['x-openstack-nova-api-version']).toBe('2.3')
    expect(answer.headers['openstack-api-version']).toBe('compute 2.3')
  })
})

describe('a project id in the URL', () => {
  it('may be there, and must then be the token’s', async () => {
    await api
      .as('member')
      .get(`/volume/v3/${api.projectId('member')}/volumes`)
      .expect(200)
    const volume = await api
      .as('member')
      .get(`/volume/v3/${api.projectId('foreign')}/volumes`)
      .expect(400)
    expect(volume.body.badRequest.message).toBe('Malformed request url')
    await api.as('member').get('/volume/v3/NOT_A_PROJECT/volumes').expect(404)
    await api
      .as('member')
      .get(`/compute/v2.1/${api.projectId('member')}/flavors`)
      .expect(200)
    await api
      .as('member')
      .get(`/compute/v2.1/${api.projectId('foreign')}/flavors`)
      .expect(400)
  })
})

describe('a reader', () => {
  it('looks, and changes nothing', async () => {
    await api.as('reader').get('/volume/v3/volumes').expect(200)
    const answer = await api
      .as('reader')
      .post('/volume/v3/volumes')
      .send({ volume: { size: 1 } })
      .expect(403)
    expect(answer.body.forbidden.message).toBe("Policy doesn't allow volume:create to be performed.")
  })

  it('is told the rule by the name that service gives it', async () => {
    const id = '5a1c9b52-5e0e-4f4d-9d4c-3e6d5b3c2a10'
    const refused = async (role: 'reader' | 'member', path: string, body: object) =>
      (await api.as(role).post(path).send(body).expect(403)).body.forbidden.message
    const rule = (name: string) => `Policy doesn't allow ${name} to be performed.`
    expect(await refused('reader', `/compute/v2.1/servers/${id}/action`, { 'os-start': null })).toBe(rule('os_compute_api:servers:start'))
    expect(await refused('member', `/volume/v3/volumes/${id}/action`, { 'os-force_delete': {} })).toBe(
      rule('volume_extension:volume_admin_actions:force_delete'),
    )
  })

  it('is named a rule by every operation and action of Compute and Block Storage', () => {
    const nameless = endpointsOf(loadDocument())
      .filter(({ path }) => /^\/(compute\/v2\.1|volume\/v3)\/./.test(path))
      .flatMap((endpoint) => {
        const members = actionsOf(endpoint)
        const named = members === undefined ? { [endpoint.operationId]: endpoint.operation } : members
        return Object.entries(named).flatMap(([name, part]) => (typeof part['x-policy'] === 'string' ? [] : [name]))
      })
    expect(nameless).toEqual([])
  })
})

describe('a public URL', () => {
  it('is where all links point to', async () => {
    const behind = await openApi({ app: { publicUrl: 'https://cloud.example/' } })
    try {
      const answer = await behind.as(null).get('/volume/').expect(300)
      expect(JSON.stringify(answer.body)).toContain('https://cloud.example/volume/v3/')
    } finally {
      await behind.close()
    }
  })
})

describe('the documentation', () => {
  it('needs nothing from outside', async () => {
    const page = await api.as(null).get('/docs').expect(200)
    expect(page.text).not.toMatch(/https?:/)
    expect(page.headers['content-security-policy']).toContain("default-src 'none'")
    await api.as(null).get('/docs/redoc.js').expect(200)
    const document = await api.as(null).get('/openapi.json').expect(200)
    expect(document.body.openapi).toBe('3.0.3')
    expect(document.text).not.toContain('"$ref"')
  })
})
