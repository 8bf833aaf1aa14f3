/** Errors as each service puts them, and faults of ours that tell nothing. */
import { describe, expect, it } from 'vitest'
import { WireError } from '../../api/faults/fault.js'
import { renderError } from '../../api/faults/render.js'
import { pythonRepr, schemaError } from '../../api/faults/schema-words.js'
import type { ServiceName } from '../../api/versions.js'
import { DomainError, type ErrorKind, refused, unavailable } from '../../src/domain/errors.js'
import { openApi } from '../support/api.js'

const around = { identityUrl: 'http://h/identity/v3' }
const render = (service: ServiceName, error: unknown) => renderError(service, error, around)
const fail = (kind: ErrorKind, details = {}) => new DomainError(kind, 'Words.', details)

describe('an error', () => {
  it.each([
    ['invalidState', { volume: 400, compute: 409, image: 409, identity: 409, strata: 409 }],
    ['busy', { volume: 409, compute: 409, image: 409, identity: 409, strata: 409 }],
    ['overQuota', { volume: 413, compute: 403, image: 413, identity: 403, strata: 403 }],
    ['notFound', { volume: 404, compute: 404, image: 404, identity: 404, strata: 404 }],
    ['unauthenticated', { volume: 401, compute: 401, image: 401, identity: 401, strata: 401 }],
    ['unavailable', { volume: 503, compute: 503, image: 503, identity: 503, strata: 503 }],
  ] as const)('of kind %s has each service its status', (kind, statuses) => {
    for (const [service, status] of Object.entries(statuses))
      expect(render(service as ServiceName, fail(kind)).status, service).toBe(status)
  })

  it('has Cinder’s and Nova’s name, Keystone’s title, Glance’s page', () => {
    expect(JSON.parse(render('volume', fail('invalidState')).body)).toEqual({ badRequest: { code: 400, message: 'Words.' } })
    expect(JSON.parse(render('compute', fail('busy')).body)).toEqual({ conflictingRequest: { code: 409, message: 'Words.' } })
    expect(render('identity', fail('forbidden')).body).toBe('{"error":{"code":403,"message":"Words.","title":"Forbidden"}}')
    expect(render('image', new DomainError('notFound', 'No <b>"x"</b>')).body).toContain('No &lt;b&gt;&quot;x&quot;&lt;/b&gt;<br /><br />')
    expect(JSON.parse(render('volume', fail('notAcceptable')).body)).toHaveProperty('computeFault')
    expect(render('compute', fail('busy')).headers['Content-Type']).toBe('application/json; charset=UTF-8')
    expect(render('volume', fail('busy')).headers['Content-Type']).toBe('application/json')
  })

  it('over quota tells Cinder’s clients to retry at once', () => {
    const { headers, body } = render('volume', fail('overQuota'))
    expect(headers['Retry-After']).toBe('0')
    expect(JSON.parse(body).overLimit).toEqual({ code: 413, message: 'Words.', retryAfter: '0' })
  })

  it('names the holder of a lock where the envelope is JSON', () => {
    const extra = { holder: { job: 'j', operation: 'merge-layer' } }
    for (const service of ['volume', 'compute', 'strata', 'identity'] as const)
      expect(render(service, fail('busy', { extra })).body).toContain('"operation":"merge-layer"')
  })

  it('of a token challenges with the identity service', () => {
    for (const service of ['volume', 'compute', 'image', 'identity'] as const)
      expect(render(service, fail('unauthenticated')).headers['WWW-Authenticate']).toBe('Keystone uri="http://h/identity/v3"')
    expect(JSON.parse(render('compute', fail('unauthenticated')).body)).toEqual({
      error: { code: 401, title: 'Unauthorized', message: 'Words.' },
    })
  })

  it('may carry headers of its own', () => {
    expect(render('image', new WireError(416, 'No.', { headers: { 'Content-Range': 'bytes */5' } }))).toMatchObject({
      status: 416,
      headers: { 'Content-Range': 'bytes */5' },
    })
  })
})

describe('a fault of ours', () => {
  it('is a fixed sentence; an adapter that was not reached is 503', () => {
    for (const service of ['volume', 'compute', 'image', 'identity', 'strata'] as const) {
      const secret = render(service, new Error('password=hunter2 at /var/lib/strata'))
      expect(secret.status).toBe(500)
      expect(secret.body).not.toContain('hunter2')
      expect(render(service, refused('qemu said no in /run')).body).not.toContain('/run')
      expect(render(service, unavailable('socket /run/x')).status).toBe(503)
    }
  })

  it('is logged with its cause and the request’s id', async () => {
    const seen: unknown[] = []
    const observe = {
      finished: () => {},
      mismatched: () => {},
      failed: (error: unknown, entry: object) => void seen.push({ error, entry }),
    }
    const api = await openApi({ app: { observe } })
    const broken = new Error('the disk is on fire')
    api.services.jobs.listJobs = async () => {
      throw broken
    }
    const answer = await api.as('member').get('/strata/v1/jobs').expect(500)
    await api.close()
    expect(answer.text).not.toContain('fire')
    expect(seen).toEqual([
      {
        error: broken,
        entry: { requestId: answer.headers['x-openstack-request-id'], operationId: 'listJobs', path: '/strata/v1/jobs', method: 'GET' },
      },
    ])
  })

  it('is an answer that does not fit the contract', async () => {
    const wrong: string[] = []
    const observe = {
      finished: () => {},
      failed: () => {},
      mismatched: (operationId: string, problems: string) => void wrong.push(`${operationId} ${problems}`),
    }
    const api = await openApi({ app: { observe } })
    api.services.hosts.listHosts = async () => [
      { host: { id: 5, createdAt: 0, heartbeatAt: 0, address: '', capabilities: {} }, state: 'up', pools: [], workers: [] } as never,
    ]
    await api.as('admin').get('/strata/v1/hosts').expect(500)
    await api.close()
    expect(wrong).toEqual([expect.stringMatching(/^listHosts \/hosts\/0\/id must be string/)])
  })
})

describe('a schema error', () => {
  const error = (keyword: string, data: unknown, rest: object = {}) => ({
    keyword,
    data,
    instancePath: '/requestBody/a/b',
    params: {},
    ...rest,
  })
  const words = (one: ReturnType<typeof error>, service: ServiceName = 'compute') => schemaError(service, 'x', [one]).message

  it('is told as Python tells it', () => {
    const about = (value: string, sentence: string) => `Invalid input for field/attribute b. Value: ${value}. ${sentence}`
    expect(words(error('type', 5, { parentSchema: { type: 'string' } }))).toBe(about('5', "5 is not of type 'string'"))
    expect(words(error('enum', 'x', { schema: ['a', 'b'] }))).toBe(about('x', "'x' is not one of ['a', 'b']"))
    expect(words(error('minLength', ''))).toBe(about('', "'' is too short"))
    expect(words(error('minimum', 0, { params: { limit: 1 } }))).toBe(about('0', '0 is less than the minimum of 1'))
    expect(words(error('anyOf', 'nouuid'))).toBe(about('nouuid', "'nouuid' is not valid under any of the given schemas"))
    expect(words(error('additionalProperties', { b: 1, a: 2, k: 3 }, { parentSchema: { properties: { k: {} } } }))).toBe(
      about("{'b': 1, 'a': 2, 'k': 3}", "Additional properties are not allowed ('a', 'b' were unexpected)"),
    )
    expect(words(error('additionalProperties', { 'a!': '' }, { parentSchema: { patternProperties: { '^[a-z]+$': {} } } }))).toContain(
      "'a!' does not match any of the regexes: '^[a-z]+$'",
    )
  })

  it('is short, however long the value', () => {
    expect(words(error('type', 'x'.repeat(100_000), { parentSchema: { type: 'object' } })).length).toBeLessThan(3000)
  })

  it('writes values as repr() does', () => {
    expect(pythonRepr({ a: [true, false, null, 1.5, "it's", 'q"', 'both\'"', 'n\n\u0001'] })).toBe(
      `{'a': [True, False, None, 1.5, "it's", 'q"', 'both\\'"', 'n\\n\\x01']}`,
    )
  })
})
