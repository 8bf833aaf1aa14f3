import { describe, expect, it } from 'vitest'
import { covers } from '../../support/api.js'
import { aServer, useRig } from './rig.js'

const rig = useRig()
const version = '2.26'

describe('tags of a server', () => {
  it('are added, listed, replaced and deleted', async () => {
    covers('listServerTags', 'success')
    covers('replaceServerTags', 'success')
    covers('deleteServerTags', 'success')
    covers('checkServerTag', 'success')
    covers('addServerTag', 'success')
    covers('deleteServerTag', 'success')
    const id = await aServer(rig)
    const path = `/servers/${id}/tags`
    const added = await rig.call('member', 'PUT', `${path}/blue`, { version })
    expect([added.status, added.headers['location']]).toEqual([201, expect.stringMatching(new RegExp(`/compute/v2.1${path}/blue$`))])
    expect((await rig.call('member', 'PUT', `${path}/blue`, { version })).status).toBe(204)
    expect((await rig.call('reader', 'GET', `${path}/blue`, { version })).status).toBe(204)
    expect((await rig.call('member', 'PUT', path, { version, body: { tags: ['a', 'b', 'a'] } })).body).toEqual({ tags: ['a', 'b'] })
    expect((await rig.call('member', 'DELETE', `${path}/a`, { version })).status).toBe(204)
    expect((await rig.call('reader', 'GET', path, { version })).body).toEqual({ tags: ['b'] })
    expect((await rig.call('member', 'GET', '/servers?tags=b', { version })).body.servers.map((one: { id: string }) => one.id)).toEqual([
      id,
    ])
    expect((await rig.call('member', 'DELETE', path, { version })).status).toBe(204)
    expect((await rig.call('member', 'GET', path, { version })).body).toEqual({ tags: [] })
  })

  it('do not exist before 2.26, and are refused when badly formed, foreign, read-only or in a wrong state', async () => {
    covers('listServerTags', 'foreign')
    covers('replaceServerTags', 'invalid', 'foreign', 'wrong state')
    covers('deleteServerTags', 'foreign', 'wrong state')
    covers('checkServerTag', 'foreign')
    covers('addServerTag', 'invalid', 'foreign', 'wrong state')
    covers('deleteServerTag', 'foreign', 'wrong state')
    const id = await aServer(rig)
    const path = `/servers/${id}/tags`
    expect((await rig.call('member', 'GET', path, { version: '2.25' })).body.itemNotFound.message).toBe('The resource could not be found.')
    for (const tags of [['a,b'], ['a/b'], [''], ['x'.repeat(61)], [1], 'a', [...Array(51).keys()].map(String)])
      expect((await rig.call('member', 'PUT', path, { version, body: { tags } })).status).toBe(400)
    for (const tag of ['a,b', 'x'.repeat(61)]) expect((await rig.call('member', 'PUT', `${path}/${tag}`, { version })).status).toBe(400)
    for (const method of ['GET', 'DELETE'] as const)
      expect((await rig.call('member', method, `${path}/none`, { version })).body.itemNotFound.message).toBe(
        `Server ${id} has no tag 'none'`,
      )
    for (const target of [path, `${path}/x`]) expect((await rig.call('foreign', 'GET', target, { version })).status).toBe(404)
    const writes = [
      ['PUT', path, { tags: [] }],
      ['DELETE', path, undefined],
      ['PUT', `${path}/x`, undefined],
      ['DELETE', `${path}/x`, undefined],
    ] as const
    for (const [method, target, body] of writes) {
      expect((await rig.call('reader', method, target, { version, body })).status).toBe(403)
      expect((await rig.call('foreign', method, target, { version, body })).status).toBe(404)
    }
    await rig.db.transaction((stores) => stores.servers.update(id, { vmState: 'error' }))
    for (const [method, target, body] of writes)
      expect((await rig.call('member', method, target, { version, body })).body.conflictingRequest.message).toBe(
        `Cannot 'update_tags' instance ${id} while it is in vm_state error`,
      )
  })
})
