import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ANY } from '../../../src/ports/stores.js'
import { covers } from '../../support/api.js'
import { aServer, aVolume, inputOf, settle, useRig } from './rig.js'

const rig = useRig()

describe('listing servers', () => {
  it('shows a caller the servers of their project only', async () => {
    covers('listServers', 'success', 'foreign')
    covers('listServersDetail', 'success', 'foreign')
    const mine = await aServer(rig, { body: { name: 'mine-listed' } })
    const theirs = await aServer(rig, { who: 'foreign', body: { name: 'theirs-listed' } })
    const listed = await rig.call('member', 'GET', '/servers')
    const ids = listed.body.servers.map((server: { id: string }) => server.id)
    expect(ids).toContain(mine)
    expect(ids).not.toContain(theirs)
    expect(Object.keys(listed.body.servers[0])).toEqual(['id', 'name', 'links'])
    expect((await rig.call('member', 'GET', '/servers?all_tenants=1')).status).toBe(403)
    const all = await rig.call('admin', 'GET', '/servers/detail?all_tenants=1')
    expect(all.body.servers.map((server: { id: string }) => server.id)).toEqual(expect.arrayContaining([mine, theirs]))
  })

  it('pages by marker and says where the next page is', async () => {
    covers('listServers', 'invalid')
    const name = `paged-${randomUUID().slice(0, 8)}`
    const ids: string[] = []
    for (let at = 0; at < 3; at++) ids.push(await aServer(rig, { body: { name: `${name}-${at}` } }))
    const first = await rig.call('member', 'GET', `/servers?limit=2&name=${name}`)
    expect(first.body.servers.map((server: { id: string }) => server.id)).toEqual([ids[2], ids[1]])
    const [next] = first.body.servers_links
    expect(next.rel).toBe('next')
    const url = new URL(next.href)
    expect(url.searchParams.get('marker')).toBe(ids[1])
    const second = await rig.call('member', 'GET', `/servers${url.search}`)
    expect(second.body.servers.map((server: { id: string }) => server.id)).toEqual([ids[0]])
    expect(second.body).not.toHaveProperty('servers_links')
    expect((await rig.call('member', 'GET', '/servers?marker=nope')).body.badRequest.message).toBe('marker [nope] not found')
    expect((await rig.call('member', 'GET', '/servers?limit=-1')).body.badRequest.message).toBe(
      "Invalid input for query parameters limit. Value: -1. '-1' does not match '^[0-9]*$'",
    )
  })

  it('filters by name as a regular expression, status, flavor, image and changes', async () => {
    covers('listServersDetail', 'invalid')
    const tag = randomUUID().slice(0, 8)
    const stopped = await aServer(rig, { vmState: 'stopped', body: { name: `${tag}.a`, flavorRef: '42' } })
    const active = await aServer(rig, { body: { name: `${tag}xa` } })
    const found = async (query: string, version?: string) => {
      const answer = await rig.call('member', 'GET', `/servers/detail?${query}`, version === undefined ? {} : { version })
      return answer.body.servers.map((server: { id: string }) => server.id).sort()
    }
    expect(await found(`name=${tag}`)).toEqual([stopped, active].sort())
    expect(await found(`name=%5E${tag}%5C.a%24`)).toEqual([stopped])
    expect(await found(`name=${tag}&status=SHUTOFF`)).toEqual([stopped])
    expect(await found(`name=${tag}&status=nonsense`)).toEqual([])
    expect(await found(`name=${tag}&flavor=42`)).toEqual([stopped])
    const image = (await rig.db.read.servers.find(ANY, active))?.imageId
    expect(await found(`image=${image}`)).toEqual([active])
    expect(await found(`name=${tag}&changes-since=2100-01-01T00:00:00Z`)).toEqual([])
    expect(await found(`name=${tag}&changes-since=2000-01-01T00:00:00Z`)).toEqual([stopped, active].sort())
    expect((await rig.call('member', 'GET', '/servers?status=nonsense', { version: '2.38' })).status).toBe(400)
    for (const bad of ['changes-since=yesterday', 'sort_key=nope', 'sort_dir=sideways', 'all_tenants=maybe', 'name=%28'])
      expect((await rig.call('member', 'GET', `/servers/detail?${bad}`)).status, bad).toBe(400)
  })
})

describe('showing a server', () => {
  it('shows exactly the fields of each microversion', async () => {
    covers('showServer', 'success')
    const id = await aServer(rig, { body: { name: 'versions', description: 'd', metadata: { k: 'v' } } })
    const keys = async (who: 'member' | 'admin', version?: string) =>
      Object.keys((await rig.call(who, 'GET', `/servers/${id}`, version === undefined ? {} : { version })).body.server)
    const base = await keys('member')
    for (const absent of ['locked', 'description', 'tags', 'OS-EXT-SRV-ATTR:host', 'fault']) expect(base).not.toContain(absent)
    expect(base).toEqual(
      expect.arrayContaining(['OS-DCF:diskConfig', 'OS-EXT-STS:vm_state', 'os-extended-volumes:volumes_attached', 'progress']),
    )
    expect(await keys('member', '2.9')).toContain('locked')
    expect(await keys('member', '2.18')).not.toContain('description')
    expect(await keys('member', '2.19')).toContain('description')
    expect(await keys('member', '2.26')).toContain('tags')
    expect(await keys('admin')).toContain('OS-EXT-SRV-ATTR:instance_name')
    expect(await keys('admin')).not.toContain('OS-EXT-SRV-ATTR:root_device_name')
    expect(await keys('admin', '2.3')).toContain('OS-EXT-SRV-ATTR:root_device_name')
    expect((await rig.call('admin', 'GET', `/servers/${id}`, { version: '2.16' })).body.server.host_status).toBe('UP')
    const old = (await rig.call('member', 'GET', `/servers/${id}`, { version: '2.46' })).body.server
    expect(old.flavor).toEqual({ id: '1', links: [{ rel: 'bookmark', href: expect.stringMatching(/\/compute\/flavors\/1$/) }] })
    const late = (await rig.call('member', 'GET', `/servers/${id}`, { version: '2.47' })).body.server
    expect(late.flavor).toEqual({ original_name: 'm1.tiny', vcpus: 1, ram: 512, disk: 1, ephemeral: 0, swap: 0, extra_specs: {} })
    expect(late).toMatchObject({ status: 'ACTIVE', metadata: { k: 'v' }, description: 'd', 'OS-EXT-STS:power_state': 1, addresses: {} })
    expect(late.created).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  })

  it('shows the fault of a server in error, its details to admins only', async () => {
    const fault = { code: 500, message: 'no boot', details: 'trace', createdAt: Date.now() * 1000 }
    const id = await aServer(rig, { vmState: 'error', patch: { fault } })
    expect((await rig.call('member', 'GET', `/servers/${id}`)).body.server).toMatchObject({
      status: 'ERROR',
      fault: { code: 500, message: 'no boot' },
    })
    expect((await rig.call('member', 'GET', `/servers/${id}`)).body.server.fault).not.toHaveProperty('details')
    expect((await rig.call('admin', 'GET', `/servers/${id}`)).body.server.fault.details).toBe('trace')
  })

  it('answers 404 for unknown, malformed and foreign ids, on every path below a server', async () => {
    covers('showServer', 'foreign')
    covers('showServerMetadata', 'foreign')
    covers('showServerMetadataItem', 'foreign')
    covers('listServerAddresses', 'foreign')
    covers('listServerVolumes', 'foreign')
    covers('showServerVolume', 'foreign')
    covers('listInstanceActions', 'foreign')
    covers('listServerAddresses', 'success')
    const id = await aServer(rig)
    for (const [who, server] of [
      ['foreign', id],
      ['member', randomUUID()],
      ['member', 'one'],
      ['member', `${id}1`],
    ] as const)
      for (const path of [
        '',
        '/metadata',
        '/metadata/k',
        '/ips',
        '/os-volume_attachments',
        '/os-instance-actions',
        `/os-volume_attachments/${id}`,
      ]) {
        const answer = await rig.call(who, 'GET', `/servers/${server}${path}`)
        expect(answer.status, `${server}${path}`).toBe(404)
        expect(answer.body.itemNotFound.message).toBe(`Instance ${server} could not be found.`)
      }
    expect((await rig.call('member', 'GET', `/servers/${id}/ips`)).body).toEqual({ addresses: {} })
    expect((await rig.call('member', 'GET', `/servers/${id}/ips/private`)).body.itemNotFound.message).toBe(
      'The resource could not be found.',
    )
  })
})

describe('updating a server', () => {
  it('changes name, description and addresses, and answers the shorter body', async () => {
    covers('updateServer', 'success', 'invalid', 'foreign')
    const id = await aServer(rig)
    const body = { server: { name: 'renamed', description: 'new', accessIPv4: '10.0.0.1', accessIPv6: '::BABE:dc0c:0:1602' } }
    const answer = await rig.call('member', 'PUT', `/servers/${id}`, { body, version: '2.19' })
    expect(answer.body.server).toMatchObject({
      name: 'renamed',
      description: 'new',
      accessIPv4: '10.0.0.1',
      accessIPv6: '::babe:dc0c:0:1602',
    })
    expect(answer.body.server).not.toHaveProperty('OS-EXT-STS:vm_state')
    expect((await rig.db.read.servers.find(ANY, id))?.name).toBe('renamed')
    expect((await rig.call('member', 'PUT', `/servers/${id}`, { body: { server: { name: '' } } })).body.badRequest.message).toBe(
      "Invalid input for field/attribute name. Value: . '' is too short",
    )
    expect((await rig.call('member', 'PUT', `/servers/${id}`, { body: { server: { description: 'x' } }, version: '2.18' })).status).toBe(
      400,
    )
    expect((await rig.call('reader', 'PUT', `/servers/${id}`, { body: { server: { name: 'r' } } })).status).toBe(403)
    expect((await rig.call('foreign', 'PUT', `/servers/${id}`, { body: { server: { name: 'r' } } })).status).toBe(404)
  })
})

describe('deleting a server', () => {
  it('marks it, records the action and leaves the rest to a job that knows its disks', async () => {
    covers('deleteServer', 'success')
    const volume = await aVolume(rig)
    const id = await aServer(rig)
    await rig.call('member', 'POST', `/servers/${id}/os-volume_attachments`, { body: { volumeAttachment: { volumeId: volume.id } } })
    const answer = await rig.call('member', 'DELETE', `/servers/${id}`)
    expect(answer.status).toBe(204)
    expect(await rig.db.read.servers.find(ANY, id)).toMatchObject({ taskState: 'deleting' })
    const [root] = await rig.db.read.disks.list(ANY, { where: { serverId: { is: id } } })
    expect(await inputOf(rig.db, 'delete-server', id)).toEqual({ serverId: id, diskIds: [root?.id, volume.diskId] })
    expect((await rig.call('member', 'DELETE', `/servers/${id}`)).status).toBe(204)
    expect(await inputOf(rig.db, 'delete-server', id)).toBeDefined()
    await settle(rig.db, id, { vmState: 'deleted' })
    expect((await rig.call('member', 'DELETE', `/servers/${id}`)).status).toBe(404)
    expect((await rig.call('member', 'GET', `/servers/${id}`)).status).toBe(404)
  })

  it('is refused to readers and of locked servers, and works in any state', async () => {
    covers('deleteServer', 'foreign', 'wrong state')
    const id = await aServer(rig, { vmState: 'error', patch: { locked: true } })
    expect((await rig.call('reader', 'DELETE', `/servers/${id}`)).status).toBe(403)
    expect((await rig.call('foreign', 'DELETE', `/servers/${id}`)).status).toBe(404)
    expect((await rig.call('member', 'DELETE', `/servers/${id}`)).body.conflictingRequest.message).toBe(`Instance ${id} is locked`)
    expect((await rig.call('admin', 'DELETE', `/servers/${id}`)).status).toBe(204)
  })
})

describe('metadata of a server', () => {
  it('is merged, replaced, read and deleted item by item', async () => {
    covers('mergeServerMetadata', 'success')
    covers('replaceServerMetadata', 'success')
    covers('setServerMetadataItem', 'success')
    covers('showServerMetadataItem', 'success')
    covers('showServerMetadata', 'success')
    covers('deleteServerMetadataItem', 'success')
    const id = await aServer(rig, { body: { metadata: { a: '1' } } })
    const path = `/servers/${id}/metadata`
    expect((await rig.call('member', 'POST', path, { body: { metadata: { b: '2' } } })).body).toEqual({ metadata: { a: '1', b: '2' } })
    expect((await rig.call('member', 'PUT', path, { body: { metadata: { c: '3' } } })).body).toEqual({ metadata: { c: '3' } })
    expect((await rig.call('member', 'PUT', `${path}/d`, { body: { meta: { d: '4' } } })).body).toEqual({ meta: { d: '4' } })
    expect((await rig.call('member', 'GET', `${path}/d`)).body).toEqual({ meta: { d: '4' } })
    expect((await rig.call('member', 'DELETE', `${path}/c`)).status).toBe(204)
    expect((await rig.call('reader', 'GET', path)).body).toEqual({ metadata: { d: '4' } })
    for (const method of ['GET', 'DELETE'] as const)
      expect((await rig.call('member', method, `${path}/c`)).body.itemNotFound.message).toBe('Metadata item was not found')
  })

  it('is refused when badly formed, foreign, read-only or locked', async () => {
    covers('mergeServerMetadata', 'invalid', 'foreign', 'wrong state')
    covers('replaceServerMetadata', 'invalid', 'foreign', 'wrong state')
    covers('setServerMetadataItem', 'invalid', 'foreign', 'wrong state')
    covers('deleteServerMetadataItem', 'foreign', 'wrong state')
    const id = await aServer(rig)
    const path = `/servers/${id}/metadata`
    for (const metadata of [{ '': 'x' }, { k: 'x'.repeat(256) }, { ['k'.repeat(256)]: 'x' }, { k: 1 }, { 'a/b': 'x' }]) {
      expect((await rig.call('member', 'POST', path, { body: { metadata } })).status).toBe(400)
      expect((await rig.call('member', 'PUT', path, { body: { metadata } })).status).toBe(400)
    }
    expect((await rig.call('member', 'PUT', `${path}/a`, { body: { meta: { b: '2' } } })).body.badRequest.message).toBe(
      'Request body and URI mismatch',
    )
    expect((await rig.call('member', 'PUT', `${path}/a`, { body: { meta: { a: '1', b: '2' } } })).status).toBe(400)
    const many = Object.fromEntries([...Array(129).keys()].map((key) => [`k${key}`, 'v']))
    expect((await rig.call('member', 'PUT', path, { body: { metadata: many } })).body.forbidden.message).toBe(
      'Maximum number of metadata items exceeds 128',
    )
    const writes = [
      ['POST', path, { metadata: { a: '1' } }],
      ['PUT', path, { metadata: {} }],
      ['PUT', `${path}/a`, { meta: { a: '1' } }],
      ['DELETE', `${path}/a`, undefined],
    ] as const
    for (const [method, target, body] of writes) {
      expect((await rig.call('reader', method, target, { body })).status).toBe(403)
      expect((await rig.call('foreign', method, target, { body })).status).toBe(404)
    }
    await rig.db.transaction((stores) => stores.servers.update(id, { locked: true }))
    for (const [method, target, body] of writes) expect((await rig.call('member', method, target, { body })).status).toBe(409)
    await rig.db.transaction((stores) => stores.servers.update(id, { locked: false, vmState: 'error' }))
    expect((await rig.call('member', 'PUT', path, { body: { metadata: {} } })).body.conflictingRequest.message).toBe(
      `Cannot 'update metadata' instance ${id} while it is in vm_state error`,
    )
  })
})

describe('instance actions', () => {
  it('list what was asked, newest first, also of a server that is gone from 2.21 on', async () => {
    covers('listInstanceActions', 'success', 'invalid')
    covers('showInstanceAction', 'success', 'foreign')
    const id = await aServer(rig)
    const stop = await rig.act('member', id, { 'os-stop': null })
    const requestId = stop.headers['x-compute-request-id'] ?? ''
    const listed = await rig.call('member', 'GET', `/servers/${id}/os-instance-actions`)
    expect(listed.body.instanceActions.map((action: { action: string }) => action.action)).toEqual(['stop', 'create'])
    expect(listed.body.instanceActions[0]).toMatchObject({
      request_id: requestId,
      user_id: rig.caller('member').userId,
      instance_uuid: id,
      message: null,
    })
    expect(listed.body.instanceActions[0]).not.toHaveProperty('updated_at')
    const paged = await rig.call('member', 'GET', `/servers/${id}/os-instance-actions?limit=1`, { version: '2.58' })
    expect(paged.body.instanceActions).toHaveLength(1)
    expect(paged.body.links[0].href).toContain(`marker=${requestId}`)
    const rest = await rig.call('member', 'GET', `/servers/${id}/os-instance-actions?limit=1&marker=${requestId}`, { version: '2.58' })
    expect(rest.body.instanceActions[0]).toMatchObject({ action: 'create', updated_at: expect.any(String) })
    for (const query of ['marker=nope', 'limit=x', 'changes-since=x'])
      expect((await rig.call('member', 'GET', `/servers/${id}/os-instance-actions?${query}`, { version: '2.58' })).status).toBe(400)
    const late = await rig.call('member', 'GET', `/servers/${id}/os-instance-actions?changes-since=2100-01-01T00:00:00Z`, {
      version: '2.58',
    })
    expect(late.body.instanceActions).toEqual([])
    expect((await rig.call('member', 'GET', `/servers/${id}/os-instance-actions/${requestId}`)).body.instanceAction).not.toHaveProperty(
      'events',
    )
    const shown = await rig.call('reader', 'GET', `/servers/${id}/os-instance-actions/${requestId}`, { version: '2.51' })
    expect(shown.body.instanceAction.events).toEqual([
      { event: 'compute_stop', start_time: expect.any(String), finish_time: null, result: null },
    ])
    expect((await rig.call('member', 'GET', `/servers/${id}/os-instance-actions/999`)).body.itemNotFound.message).toBe(
      'Action 999 not found',
    )
    await settle(rig.db, id, { vmState: 'deleted' })
    expect((await rig.call('member', 'GET', `/servers/${id}/os-instance-actions`)).status).toBe(404)
    expect((await rig.call('member', 'GET', `/servers/${id}/os-instance-actions`, { version: '2.21' })).body.instanceActions).toHaveLength(
      2,
    )
    expect((await rig.call('foreign', 'GET', `/servers/${id}/os-instance-actions/${requestId}`, { version: '2.21' })).status).toBe(404)
  })
})
