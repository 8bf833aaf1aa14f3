/** What clients read before their first call. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { covers, openApi, type TestApi } from '../support/api.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const get = (path: string) => api.as(null).get(path)

describe('version discovery', () => {
  it('of identity is a choice at the root and a document below', async () => {
    covers('listIdentityVersions', 'success')
    covers('showIdentityVersion', 'success')
    for (const path of ['/identity', '/identity/']) {
      const root = await get(path).expect(300)
      expect(root.headers['location']).toMatch(/\/identity\/v3\/$/)
      expect(root.body.versions.values[0]).toMatchObject({ id: 'v3.14', status: 'stable' })
    }
    for (const path of ['/identity/v3', '/identity/v3/']) expect((await get(path).expect(200)).body.version.id).toBe('v3.14')
  })

  it('of compute lists v2.0 first and every self link can be fetched', async () => {
    covers('listComputeVersions', 'success')
    covers('showComputeLegacyVersion', 'success')
    covers('showComputeVersion', 'success')
    covers('chooseComputeVersion', 'success')
    const { versions } = (await get('/compute/').expect(200)).body
    expect(versions.map((version: { id: string }) => version.id)).toEqual(['v2.0', 'v2.1'])
    expect(versions[1]).toMatchObject({ min_version: '2.1', status: 'CURRENT', version: expect.stringMatching(/^2\.\d+$/) })
    for (const version of versions) {
      const self = version.links[0].href
      const { body } = await get(new URL(self).pathname).expect(200)
      expect(body.version.links[0]).toEqual({ rel: 'self', href: self })
      expect(body.version['media-types'][0].type).toContain('compute+json')
    }
    expect((await get('/compute/v9').expect(300)).body.choices).toHaveLength(2)
  })

  it('of volume is 300 at the root, a redirect at /v3 and, with a token, 200 at /v3/', async () => {
    covers('listVolumeVersions', 'success')
    covers('showVolumeVersion', 'success')
    const root = await get('/volume/').expect(300)
    const below = await api.as('member').get('/volume/v3/').expect(200)
    expect(below.body).toEqual(root.body)
    expect(root.body.versions[0]).toMatchObject({
      id: 'v3.0',
      status: 'CURRENT',
      min_version: '3.0',
      version: expect.stringMatching(/^3\.\d+$/),
    })
    expect((await api.as('member').get('/volume/v3').expect(302)).headers['location']).toMatch(/\/volume\/v3\/$/)
    await get('/volume/v3/').expect(401)
  })

  it('of image is 300 at the root and 200 at /versions', async () => {
    covers('listImageVersions', 'success')
    covers('showImageVersions', 'success')
    covers('showImageVersion', 'success')
    const root = await get('/image/').expect(300)
    expect((await get('/image/versions').expect(200)).body).toEqual(root.body)
    expect(root.body.versions[0].status).toBe('CURRENT')
    expect(root.body.versions[0].links[0].href).toMatch(/\/image\/v2\/$/)
    expect((await get('/image/v2').expect(302)).headers['location']).toMatch(/\/image\/v2\/$/)
    await get('/image/v2/').expect(300)
  })

  it('of our own API is plain', async () => {
    covers('listStrataVersions', 'success')
    covers('showStrataVersion', 'success')
    expect((await get('/strata/').expect(200)).body.versions[0].id).toBe('v1')
    expect((await get('/strata/v1').expect(200)).body.version.id).toBe('v1')
  })
})

describe('the old compute root', () => {
  it('serves the first version whatever is asked', async () => {
    const answer = await api.as('member', { 'X-OpenStack-Nova-API-Version': '2.40' }).get('/compute/v2/flavors').expect(200)
    expect(answer.headers['x-openstack-nova-api-version']).toBe('2.1')
  })
})
