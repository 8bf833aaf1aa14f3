/** Quota sets, the default class, and the limits a tenant sees. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { covers, openApi, type TestApi } from '../../support/api.js'
import { snapshotOf, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const set = (role: 'member' | 'foreign', rest = '') => `${V3}/os-quota-sets/${api.projectId(role)}${rest}`
const CLASS = `${V3}/os-quota-class-sets/default`

describe('a project’s quotas', () => {
  it('are shown with what is used of them', async () => {
    covers('showVolumeQuotas', 'success')
    covers('showVolumeQuotaDefaults', 'success')
    await snapshotOf(api, await volumeIn(api, 'available', 'member', { size: 2 }))
    const plain = (await api.as('member').get(set('member')).expect(200)).body.quota_set
    expect(plain).toMatchObject({ id: api.projectId('member'), volumes: expect.any(Number), per_volume_gigabytes: -1, groups: 10 })
    expect(plain).toHaveProperty('volumes___DEFAULT__', -1)
    const usage = (
      await api
        .as('reader')
        .get(`${set('member')}?usage=True`)
        .expect(200)
    ).body.quota_set
    expect(usage.volumes).toMatchObject({ in_use: 1, reserved: 0 })
    expect(usage.snapshots).toMatchObject({ in_use: 1, reserved: 0 })
    expect(usage.gigabytes).toMatchObject({ in_use: 4, reserved: 0 })
    expect(usage.gigabytes___DEFAULT__).toMatchObject({ limit: -1, in_use: 4 })
    const defaults = (await api.as('member').get(set('member', '/defaults')).expect(200)).body.quota_set
    expect(defaults.volumes).toBe(plain.volumes)
  })

  it('are set by admins, hold per type too, and are returned to the defaults', async () => {
    covers('updateVolumeQuotas', 'success')
    covers('deleteVolumeQuotas', 'success')
    const sent = { volumes: 5, gigabytes: '7', tenant_id: 'ignored', force: true }
    const { body } = await api.as('admin').put(set('foreign')).send({ quota_set: sent }).expect(200)
    expect(body.quota_set).toMatchObject({ volumes: 5, gigabytes: 7 })
    expect(body.quota_set).not.toHaveProperty('id')
    await api
      .as('admin')
      .put(set('foreign'))
      .send({ quota_set: { volumes___DEFAULT__: 0 } })
      .expect(200)
    const refused = await api
      .as('foreign')
      .post(`${V3}/volumes`)
      .send({ volume: { size: 1 } })
      .expect(413)
    expect(refused.body.overLimit.message).toBe(
      "VolumeLimitExceeded: Maximum number of volumes allowed (0) exceeded for quota 'volumes___DEFAULT__'.",
    )
    await api.as('admin').delete(set('foreign')).expect(200)
    await api
      .as('foreign')
      .post(`${V3}/volumes`)
      .send({ volume: { size: 1 } })
      .expect(202)
  })

  it('are refused for bad keys and values, and to other projects', async () => {
    covers('showVolumeQuotas', 'foreign', 'invalid')
    covers('showVolumeQuotaDefaults', 'foreign', 'invalid')
    covers('updateVolumeQuotas', 'invalid', 'foreign')
    covers('deleteVolumeQuotas', 'foreign', 'invalid')
    const bad = await api
      .as('admin')
      .put(set('member'))
      .send({ quota_set: { nonsense: 1, more: 2 } })
      .expect(400)
    expect(bad.body.badRequest.message).toBe('Bad key(s) in quota set: more, nonsense')
    for (const volumes of [-2, 'x', true, 1.5, null, [], 2 ** 31])
      await api.as('admin').put(set('member')).send({ quota_set: { volumes } }).expect(400)
    await api.as('admin').put(set('member')).send({}).expect(400)
    await api.as('foreign').get(set('member')).expect(403)
    await api.as('foreign').get(set('member', '/defaults')).expect(403)
    await api
      .as('member')
      .put(set('member'))
      .send({ quota_set: { volumes: 1 } })
      .expect(403)
    await api.as('member').delete(set('member')).expect(403)
    await api.as('admin').get(set('member')).expect(200)
  })
})

describe('the default class', () => {
  it('is shown and set by admins', async () => {
    covers('showVolumeQuotaClass', 'success', 'foreign', 'invalid')
    covers('updateVolumeQuotaClass', 'success', 'foreign', 'invalid')
    expect((await api.as('admin').get(CLASS).expect(200)).body.quota_class_set).toMatchObject({ id: 'default', backups: 10 })
    const { body } = await api
      .as('admin')
      .put(CLASS)
      .send({ quota_class_set: { backups: 11 } })
      .expect(200)
    expect(body.quota_class_set.backups).toBe(11)
    expect((await api.as('member').get(set('member'))).body.quota_set.backups).toBe(11)
    await api
      .as('admin')
      .put(CLASS)
      .send({ quota_class_set: { backups: 'x' } })
      .expect(400)
    await api.as('admin').get(`${V3}/os-quota-class-sets/gold`).expect(404)
    await api.as('member').get(CLASS).expect(403)
    await api
      .as('member')
      .put(CLASS)
      .send({ quota_class_set: { backups: 1 } })
      .expect(403)
  })
})

describe('limits', () => {
  it('tell a tenant what is left', async () => {
    covers('showVolumeLimits', 'success', 'foreign', 'invalid')
    const limits = async (role: 'member' | 'admin', query = '') => (await api.as(role).get(`${V3}/limits${query}`).expect(200)).body.limits
    const own = await limits('member')
    expect(own.rate).toEqual([])
    expect(own.absolute).toMatchObject({ totalVolumesUsed: 1, totalSnapshotsUsed: 1, totalGigabytesUsed: 4, totalBackupsUsed: 0 })
    expect((await limits('member', `?project_id=${api.projectId('foreign')}`)).absolute.totalSnapshotsUsed).toBe(1)
    const asked = `?project_id=${api.projectId('member')}`
    const later = await api.as('admin', { 'OpenStack-API-Version': 'volume 3.39' }).get(`${V3}/limits${asked}`).expect(200)
    expect(later.body.limits.absolute.totalSnapshotsUsed).toBe(1)
    expect((await limits('admin', asked)).absolute.totalSnapshotsUsed).toBe(0)
    expect((await limits('admin')).absolute.totalSnapshotsUsed).toBe(0)
  })
})
