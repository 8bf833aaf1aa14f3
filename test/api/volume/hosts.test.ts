/** Services, pools, zones, extensions, and the messages of what failed. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { covers, HOST_ID, openApi, type Role, type TestApi } from '../../support/api.js'
import { V3 } from '../../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

describe('for operators', () => {
  it('the hosts are services', async () => {
    covers('listVolumeServices', 'success', 'foreign', 'invalid')
    const { body } = await api.as('admin').get(`${V3}/os-services`).expect(200)
    expect(body.services).toMatchObject([
      { binary: 'cinder-volume', host: `${HOST_ID}@strata`, zone: 'nova', status: 'enabled', state: 'up' },
    ])
    expect((await api.as('admin').get(`${V3}/os-services?host=elsewhere`)).body.services).toEqual([])
    expect((await api.as('admin').get(`${V3}/os-services?binary=cinder-backup`)).body.services).toEqual([])
    await api.as('member').get(`${V3}/os-services`).expect(403)
  })

  it('the pools are listed, in detail if asked', async () => {
    covers('listVolumePools', 'success', 'foreign', 'invalid')
    const pools = async (query = '') => (await api.as('admin').get(`${V3}/scheduler-stats/get_pools${query}`).expect(200)).body.pools
    expect(await pools()).toEqual([{ name: `${HOST_ID}@strata#default` }])
    expect((await pools('?detail=True'))[0].capabilities).toMatchObject({ vendor_name: 'Open Source', total_capacity_gb: 'unknown' })
    await api.as('member').get(`${V3}/scheduler-stats/get_pools`).expect(403)
  })
})

describe('for everybody', () => {
  it('there are zones and extensions', async () => {
    covers('listVolumeZones', 'success', 'foreign', 'invalid')
    covers('listVolumeExtensions', 'success', 'foreign', 'invalid')
    const zones = await api.as('reader').get(`${V3}/os-availability-zone`).expect(200)
    expect(zones.body).toEqual({ availabilityZoneInfo: [{ zoneName: 'nova', zoneState: { available: true } }] })
    const { body } = await api.as('reader').get(`${V3}/extensions`).expect(200)
    expect(body.extensions.map(({ alias }: { alias: string }) => alias)).toContain('os-volume-actions')
  })
})

describe('messages', () => {
  const message = async (role: Role): Promise<string> => {
    const id = randomUUID()
    const now = Date.now() * 1000
    await api.db.transaction((stores) =>
      stores.messages.insert({
        id,
        projectId: api.projectId(role),
        requestId: 'req-1',
        resourceType: 'VOLUME',
        resourceId: randomUUID(),
        eventId: 'VOLUME_VOLUME_001_002',
        level: 'ERROR',
        userMessage: 'create volume: it failed.',
        createdAt: now,
        expiresAt: now + 1_000_000,
      }),
    )
    return id
  }
  const as = (role: Role, version = '3.5') => api.as(role, { 'OpenStack-API-Version': `volume ${version}` })

  it('are listed, shown and deleted by their project from 3.3', async () => {
    covers('listVolumeMessages', 'success', 'foreign', 'invalid')
    covers('showVolumeMessage', 'success', 'foreign', 'invalid')
    covers('deleteVolumeMessage', 'success', 'foreign', 'invalid')
    const id = await message('member')
    await message('foreign')
    const { body } = await as('reader').get(`${V3}/messages`).expect(200)
    expect(body.messages).toHaveLength(1)
    expect(body.messages[0]).toMatchObject({
      id,
      user_message: 'create volume: it failed.',
      message_level: 'ERROR',
      resource_type: 'VOLUME',
    })
    expect((await as('member').get(`${V3}/messages/${id}`).expect(200)).body.message.links).toHaveLength(2)
    expect((await as('member').get(`${V3}/messages?resource_type=volume`)).body.messages).toHaveLength(1)
    expect((await as('member').get(`${V3}/messages?resource_type=SNAPSHOT`)).body.messages).toEqual([])
    await as('member').get(`${V3}/messages?marker=nope`).expect(404)
    await as('member').get(`${V3}/messages?limit=x`).expect(400)
    await as('member', '3.2').get(`${V3}/messages`).expect(404)
    await as('foreign').get(`${V3}/messages/${id}`).expect(404)
    await as('foreign').delete(`${V3}/messages/${id}`).expect(404)
    await as('reader').delete(`${V3}/messages/${id}`).expect(403)
    await as('member').get(`${V3}/messages/nope`).expect(404)
    await as('member').delete(`${V3}/messages/nope`).expect(404)
    await as('member').delete(`${V3}/messages/${id}`).expect(204)
    await as('member').get(`${V3}/messages/${id}`).expect(404)
  })
})
