import { describe, expect, it } from 'vitest'
import { covers } from '../../support/api.js'
import { useRig } from './rig.js'

const rig = useRig()

describe('flavors', () => {
  it('are listed by id, page by page, at least as large as asked', async () => {
    covers('listFlavors', 'success')
    covers('listFlavorsDetail', 'success')
    const ids = async (query: string) =>
      (await rig.call('reader', 'GET', `/flavors${query}`)).body.flavors.map((flavor: { id: string }) => flavor.id)
    expect(await ids('')).toEqual(['1', '2', '42', '84'])
    expect(await ids('?minRam=512')).toEqual(['1', '2'])
    expect(await ids('?minDisk=20')).toEqual(['2'])
    expect(await ids('?sort_key=memory_mb&sort_dir=desc&limit=1')).toEqual(['2'])
    const page = await rig.call('member', 'GET', '/flavors?limit=1')
    expect(page.body.flavors_links[0].href).toMatch(/\/compute\/v2\.1\/flavors\?limit=1&marker=1$/)
    expect(await ids('?limit=1&marker=1')).toEqual(['2'])
    const [tiny] = (await rig.call('member', 'GET', '/flavors/detail')).body.flavors
    expect(tiny).toEqual({
      id: '1',
      name: 'm1.tiny',
      ram: 512,
      vcpus: 1,
      disk: 1,
      swap: '',
      'OS-FLV-EXT-DATA:ephemeral': 0,
      'OS-FLV-DISABLED:disabled': false,
      'os-flavor-access:is_public': true,
      rxtx_factor: 1,
      links: expect.any(Array),
    })
    expect((await rig.call('member', 'GET', '/flavors/detail', { version: '2.55' })).body.flavors[0].description).toBeNull()
  })

  it('are refused for filters that make no sense', async () => {
    covers('listFlavors', 'invalid')
    covers('listFlavorsDetail', 'invalid')
    for (const query of ['limit=-1', 'limit=x', 'marker=nope', 'minRam=x', 'minDisk=x', 'sort_key=nope'])
      for (const path of ['/flavors', '/flavors/detail'])
        expect((await rig.call('member', 'GET', `${path}?${query}`)).status, query).toBe(400)
    expect((await rig.call('member', 'GET', '/flavors?minRam=x')).body.badRequest.message).toBe('Invalid minRam filter [x]')
  })

  it('can be described anew by admins from 2.55', async () => {
    covers('updateFlavor', 'success', 'invalid')
    const put = (who: 'admin' | 'member', flavor: object, id = '2', version = '2.55') =>
      rig.call(who, 'PUT', `/flavors/${id}`, { body: { flavor }, version })
    expect((await put('admin', { description: 'twenty' })).body.flavor).toMatchObject({ id: '2', description: 'twenty' })
    expect((await put('admin', { description: null })).body.flavor.description).toBeNull()
    expect((await put('admin', { description: 'x' }, 'nope')).body.itemNotFound.message).toBe('Flavor nope could not be found.')
    expect((await put('admin', {})).body.badRequest.message).toContain("'description' is a required property")
    expect((await put('admin', { description: 'x', ram: 1 })).status).toBe(400)
    expect((await put('member', { description: 'x' })).body.forbidden.message).toContain('os_compute_api:os-flavor-manage:update')
    expect((await put('admin', { description: 'x' }, '2', '2.54')).status).toBe(404)
  })

  it('are made and removed by admins, hidden ones seen by nobody else', async () => {
    covers('createFlavor', 'success', 'invalid', 'wrong state')
    covers('deleteFlavor', 'success', 'foreign')
    covers('showFlavor', 'success', 'foreign')
    const flavor = { id: 'secret', name: 'secret', ram: '64', vcpus: 1, disk: 3, 'os-flavor-access:is_public': false }
    expect((await rig.call('member', 'POST', '/flavors', { body: { flavor } })).status).toBe(403)
    const made = await rig.call('admin', 'POST', '/flavors', { body: { flavor } })
    expect(made.body.flavor).toMatchObject({ id: 'secret', ram: 64, disk: 3, 'os-flavor-access:is_public': false })
    expect((await rig.call('admin', 'POST', '/flavors', { body: { flavor } })).body.conflictingRequest.message).toBe(
      'Flavor with ID secret already exists.',
    )
    expect((await rig.call('admin', 'POST', '/flavors', { body: { flavor: { ...flavor, id: 'other' } } })).status).toBe(409)
    expect((await rig.call('member', 'GET', '/flavors/secret')).body.itemNotFound.message).toBe('Flavor secret could not be found.')
    expect((await rig.call('admin', 'GET', '/flavors/secret')).status).toBe(200)
    expect((await rig.call('admin', 'GET', '/flavors?is_public=false')).body.flavors.map((one: { id: string }) => one.id)).toEqual([
      'secret',
    ])
    expect((await rig.call('admin', 'GET', '/flavors?is_public=None')).body.flavors).toHaveLength(5)
    for (const bad of [
      {},
      { ...flavor, ram: 0 },
      { ...flavor, vcpus: 'x' },
      { ...flavor, name: '' },
      { ...flavor, swap: 5 },
      { ...flavor, extra: 1 },
    ])
      expect((await rig.call('admin', 'POST', '/flavors', { body: { flavor: bad } })).status).toBe(400)
    expect((await rig.call('member', 'DELETE', '/flavors/secret')).status).toBe(403)
    expect((await rig.call('admin', 'DELETE', '/flavors/secret')).status).toBe(202)
    expect((await rig.call('admin', 'DELETE', '/flavors/secret')).status).toBe(404)
  })

  it('show their extra specs', async () => {
    covers('listFlavorExtraSpecs', 'success', 'foreign')
    covers('showFlavorExtraSpec', 'success', 'foreign')
    await rig.db.transaction((stores) => stores.flavors.update('84', { extraSpecs: { 'hw:x': 'y' } }))
    expect((await rig.call('member', 'GET', '/flavors/84/os-extra_specs')).body).toEqual({ extra_specs: { 'hw:x': 'y' } })
    expect((await rig.call('member', 'GET', '/flavors/84/os-extra_specs/hw:x')).body).toEqual({ 'hw:x': 'y' })
    expect((await rig.call('member', 'GET', '/flavors/84/os-extra_specs/no')).status).toBe(404)
    expect((await rig.call('member', 'GET', '/flavors/nope/os-extra_specs')).status).toBe(404)
  })
})

describe('limits and zones', () => {
  it('say what the project may use and uses, in the fields of the version', async () => {
    covers('showComputeLimits', 'success')
    await rig.db.transaction(async (stores) => {
      await stores.quotas.setLimits(rig.projectId('member'), { instances: 7, cores: 8, ram: 9000 })
      await stores.quotas.take(rig.projectId('member'), 'one', { instances: 1, cores: 2, ram: 512 })
    })
    const { absolute, rate } = (await rig.call('reader', 'GET', '/limits')).body.limits
    expect(rate).toEqual([])
    expect(absolute).toMatchObject({
      maxTotalInstances: 7,
      maxTotalCores: 8,
      maxTotalRAMSize: 9000,
      totalInstancesUsed: 1,
      totalCoresUsed: 2,
      totalRAMUsed: 512,
      maxPersonality: 0,
      maxSecurityGroups: 0,
      maxImageMeta: 128,
    })
    const late = (await rig.call('member', 'GET', '/limits', { version: '2.57' })).body.limits.absolute
    for (const gone of ['maxPersonality', 'maxSecurityGroups', 'maxImageMeta']) expect(late).not.toHaveProperty(gone)
    expect((await rig.call('foreign', 'GET', `/limits?tenant_id=${rig.projectId('member')}`)).body.limits.absolute.totalCoresUsed).toBe(0)
    expect((await rig.call('admin', 'GET', `/limits?tenant_id=${rig.projectId('member')}`)).body.limits.absolute.totalCoresUsed).toBe(2)
  })

  it('name one zone, its hosts to admins', async () => {
    covers('listComputeZones', 'success')
    covers('listComputeZonesDetail', 'success')
    expect((await rig.call('member', 'GET', '/os-availability-zone')).body).toEqual({
      availabilityZoneInfo: [{ zoneName: 'nova', zoneState: { available: true }, hosts: null }],
    })
    expect((await rig.call('member', 'GET', '/os-availability-zone/detail')).status).toBe(403)
    const [zone] = (await rig.call('admin', 'GET', '/os-availability-zone/detail')).body.availabilityZoneInfo
    expect(Object.values(zone.hosts)).toEqual([{ 'nova-compute': { available: true, active: true, updated_at: expect.any(String) } }])
  })
})
