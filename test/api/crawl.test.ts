/**
 * Every operation of the contract, asked in all the wrong ways, by no hand: without a token, for ids that do not exist,
 * with bodies of every wrong shape. What comes back is that service's own refusal and never a 5xx.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Endpoint, endpointsOf, loadDocument } from '../../api/document.js'
import { jsonSchema } from '../../api/variants.js'
import { RANGES, versionText } from '../../api/versions.js'
import { openApi, type TestApi } from '../support/api.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const endpoints = endpointsOf(loadDocument())
const guarded = endpoints.filter((endpoint) => !endpoint.isPublic)
/** Cinder gives any project quotas, known or not. */
const OF_ANY_PROJECT = /os-quota-(class-)?sets/
const named = (list: readonly Endpoint[]) =>
  list.map((endpoint) => [`${endpoint.method.toUpperCase()} ${endpoint.path}`, endpoint] as const)
const UNKNOWN = '5a1c9b52-5e0e-4f4d-9d4c-3e6d5b3c2a10'
const OWN_TYPE = { volume: 'OpenStack-API-Version', compute: 'OpenStack-API-Version' } as const

/** The path with the caller's project and `id` everywhere else. */
const fill = (path: string, id: string, role: 'member' | 'admin' = 'member'): string =>
  path.replaceAll(/\{([^}]+)\}/g, (_, name: string) =>
    name === 'project_id' && path.startsWith('/volume') ? api.projectId(role) : encodeURIComponent(id),
  )

/** The last version at which the operation exists. */
function latest({ service, operation }: Endpoint): Record<string, string> {
  const range = RANGES[service as keyof typeof RANGES]
  return range ? { [OWN_TYPE[service as 'volume']]: `${range.type} ${operation['x-max-version'] ?? versionText(range, 'max')}` } : {}
}

const call = (role: 'member' | 'admin' | null, endpoint: Endpoint, path: string, headers: Record<string, string> = {}) =>
  api.as(role, headers)[endpoint.method](path)

/** The envelope of that service's faults. */
function expectFault(endpoint: Endpoint, answer: { status: number; body: unknown; text: string; headers: Record<string, string> }): void {
  const seen = `${endpoint.method} ${endpoint.path} -> ${answer.status} ${answer.text}`
  expect(answer.status, seen).toBeGreaterThanOrEqual(400)
  expect(answer.status, seen).toBeLessThan(500)
  expect(answer.headers['x-openstack-request-id'], seen).toMatch(/^req-/)
  if (endpoint.method === 'head') return
  if (endpoint.service === 'image') {
    expect(answer.text, seen).toContain(`<title>${answer.status} `)
    return
  }
  const [envelope] = Object.values(answer.body as object) as { code?: number; message?: string }[]
  if (endpoint.service === 'volume' && typeof envelope === 'string') return
  expect(envelope, seen).toMatchObject({ code: answer.status, message: expect.any(String) })
}

describe('without a token', () => {
  it.each(named(guarded))('%s is 401', async (_title, endpoint) => {
    const answer = await call(null, endpoint, fill(endpoint.path, UNKNOWN)).expect(401)
    if (endpoint.service !== 'strata') expect(answer.headers['www-authenticate']).toMatch(/^Keystone uri="/)
  })
})

describe('with an id nobody has', () => {
  const withIds = guarded.filter(
    ({ path, method, operation }) =>
      !OF_ANY_PROJECT.test(path) &&
      /\{/.test(path.replace('/volume/v3/{project_id}', '')) &&
      (method === 'get' || method === 'delete' || operation.requestBody === undefined),
  )
  const ids = [UNKNOWN, 'x', "it's; rm -rf /\n", '0'.repeat(3_000), '../../etc/passwd', '%00']
  it.each(named(withIds))('%s is not found, whatever the id looks like', async (_title, endpoint) => {
    for (const id of ids) {
      const path = fill(endpoint.path, id, 'admin')
      const answer = await call('admin', endpoint, path, latest(endpoint))
      expectFault(endpoint, answer)
      expect([400, 403, 404], `${path} -> ${answer.status} ${answer.text}`).toContain(answer.status)
      if (id === UNKNOWN && endpoint.method === 'get') expect(answer.status, `${path} ${answer.text}`).toBe(404)
    }
  })
})

describe('with a body of the wrong shape', () => {
  const withBody = guarded.filter(({ operation }) => jsonSchema(operation.requestBody?.content))
  const type = (endpoint: Endpoint): string =>
    Object.keys(endpoint.operation.requestBody?.content ?? {}).find((name) => name.includes('json')) ?? ''

  it.each(named(withBody))('%s is refused', async (_title, endpoint) => {
    const path = fill(endpoint.path, UNKNOWN, 'admin')
    const key =
      Object.keys((jsonSchema(endpoint.operation.requestBody?.content)?.['properties'] ?? { nothing: {} }) as object)[0] ?? 'nothing'
    const bodies = [
      '{',
      '[',
      '"',
      'nul',
      '[]',
      '"text"',
      '17',
      'true',
      'null',
      `{"${key}":17}`,
      `{"${key}":[]}`,
      `{"${key}":null}`,
      '{"__proto__":{"a":1}}',
    ]
    for (const body of bodies) {
      const answer = await call('admin', endpoint, path, latest(endpoint)).set('Content-Type', type(endpoint)).send(body)
      expectFault(endpoint, answer)
    }
    const large = await call('admin', endpoint, path, latest(endpoint))
      .set('Content-Type', type(endpoint))
      .send(`{"${key}":"${'x'.repeat(300_000)}"}`)
    expect(large.status).toBe(413)
  })
})

describe('with names that are code somewhere', () => {
  const names = ["a'b", 'a"b', 'a\nb', '$(reboot)', '`id`', 'a:b', '../x', 'x'.repeat(10_240), '\u0000', '😀', '<script>alert(1)</script>']
  const withBody = guarded.filter(({ operation, method }) => method === 'post' && jsonSchema(operation.requestBody?.content))
  it.each(named(withBody))('%s takes no harm', async (_title, endpoint) => {
    const schema = jsonSchema(endpoint.operation.requestBody?.content)
    const [key = 'x'] = Object.keys((schema?.['properties'] ?? {}) as object)
    for (const name of names) {
      const answer = await call('member', endpoint, fill(endpoint.path, UNKNOWN), latest(endpoint))
        .set('Content-Type', 'application/json')
        .send(JSON.stringify({ [key]: { name, description: name, [name]: name } }))
      expect(answer.status, `${endpoint.path} ${answer.text}`).toBeLessThan(500)
    }
  })
})
