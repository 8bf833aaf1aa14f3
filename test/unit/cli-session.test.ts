/** How `strata` finds its way by the catalog, and what becomes of a token and of refusals; the service is played. */
import { describe, expect, it } from 'vitest'
import type { Answer, Send } from '../../src/cli/http.js'
import { openSession } from '../../src/cli/session.js'

const CLOUD = {
  authUrl: 'http://id/v3',
  auth: { identity: { methods: ['password'] } },
  region: undefined,
  interface: 'public',
  cacert: undefined,
  verify: true,
}
const at = (interface_: string, region_id: string, url: string) => ({ interface: interface_, region_id, url })
const CATALOG = [
  { type: 'compute', endpoints: [at('public', 'North', 'http://nova/')] },
  {
    type: 'strata',
    endpoints: [at('internal', 'North', 'http://in'), at('public', 'North', 'http://n'), at('public', 'South', 'http://s')],
  },
]

/** A cloud whose tokens are good for so many calls. */
function played(answers: (url: string) => Answer, uses = 99): { send: Send; asked: string[] } {
  const asked: string[] = []
  let logins = 0
  let left = 0
  const send: Send = async (method, url, headers) => {
    asked.push(`${method} ${url}${headers?.['x-auth-token'] === undefined ? '' : ` as ${headers['x-auth-token']}`}`)
    if (url.endsWith('/auth/tokens')) {
      left = uses
      return { status: 201, headers: { 'x-subject-token': `t${++logins}` }, text: JSON.stringify({ token: { catalog: CATALOG } }) }
    }
    return left-- > 0 ? answers(url) : { status: 401, headers: {}, text: '{"error": {"message": "expired"}}' }
  }
  return { send, asked }
}
const fine = (): Answer => ({ status: 200, headers: {}, text: '{"jobs": []}' })

describe('a session', () => {
  it('goes where the catalog says, for its region and interface', async () => {
    for (const [wish, url] of [
      [{}, 'http://n'],
      [{ region: 'South' }, 'http://s'],
      [{ interface: 'internal' }, 'http://in'],
    ] as const) {
      const { send, asked } = played(fine)
      const session = await openSession({ ...CLOUD, ...wish }, send)
      expect(await session.call('strata', 'GET', '/jobs')).toEqual({ jobs: [] })
      expect(asked.at(-1)).toBe(`GET ${url}/jobs as t1`)
    }
    const nowhere = await openSession({ ...CLOUD, region: 'East' }, played(fine).send)
    await expect(nowhere.call('strata', 'GET', '/')).rejects.toThrow('no public endpoint of type strata in region East')
  })

  it('asks for a new token once when its own ran out', async () => {
    const { send, asked } = played(fine, 1)
    const session = await openSession(CLOUD, send)
    await session.call('compute', 'GET', '/a')
    await session.call('compute', 'GET', '/b')
    expect(asked.slice(2)).toEqual(['GET http://nova/b as t1', 'POST http://id/v3/auth/tokens', 'GET http://nova/b as t2'])
    await expect((await openSession(CLOUD, played(fine, 0).send)).call('compute', 'GET', '/')).rejects.toThrow('expired')
  })

  it("ends in each service's own sentence", async () => {
    const said = async (text: string): Promise<unknown> => {
      const { send } = played(() => ({ status: 409, headers: { 'x-openstack-request-id': 'req-1' }, text }))
      return await (await openSession(CLOUD, send)).call('strata', 'GET', '/').catch((error: unknown) => error)
    }
    expect(await said('{"error": {"code": 409, "message": "ours"}}')).toMatchObject({ message: 'ours', status: 409, requestId: 'req-1' })
    expect(await said('{"badRequest": {"message": "theirs"}}')).toMatchObject({ message: 'theirs' })
    expect(await said('{"error": {"message": "none", "results": [{"name": "a", "message": "kept"}]}}')).toMatchObject({
      message: 'none\n  a: kept',
    })
    expect(await said('<html>')).toMatchObject({ message: 'the service answered 409: <html>' })
  })
})
