import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ANY } from '../../../src/ports/stores.js'
import { covers } from '../../support/api.js'
import { anImage, aServer, useRig } from './rig.js'

const rig = useRig()

describe("Nova's view of images", () => {
  it('lists what the caller may see, filtered and page by page', async () => {
    covers('listComputeImages', 'success', 'foreign', 'invalid')
    covers('listComputeImagesDetail', 'success', 'foreign', 'invalid')
    const server = await aServer(rig)
    const { headers } = await rig.act('member', server, { createImage: { name: 'shot' } })
    const id = headers['location']?.split('/').at(-1)
    const ids = async (query: string, who: 'member' | 'foreign' = 'member') => {
      const answer = await rig.call(who, 'GET', `/images/detail?${query}`)
      return answer.body.images.map((image: { id: string }) => image.id)
    }
    const href = encodeURIComponent(`http://host/compute/v2.1/servers/${server}`)
    for (const query of [`server=${server}`, `server=${href}`, 'type=snapshot', 'name=shot', 'status=SAVING'])
      expect(await ids(query)).toEqual([id])
    expect(await ids('', 'foreign')).not.toContain(id)
    expect(await ids('changes-since=2100-01-01T00:00:00Z')).toEqual([])
    const page = await rig.call('member', 'GET', '/images?limit=1')
    expect(Object.keys(page.body.images[0])).toEqual(['id', 'name', 'links'])
    expect(page.body.images_links[0].href).toContain('/compute/v2.1/images?limit=1&marker=')
    for (const query of ['limit=-1', 'marker=nope', 'changes-since=x'])
      for (const path of ['/images', '/images/detail'])
        expect((await rig.call('member', 'GET', `${path}?${query}`)).status, query).toBe(400)
    const { image } = (await rig.call('member', 'GET', `/images/${id}`)).body
    expect(image).toMatchObject({
      status: 'SAVING',
      progress: 25,
      'OS-EXT-IMG-SIZE:size': 0,
      server: { id: server },
      metadata: { image_type: 'snapshot' },
    })
  })

  it('shows and deletes one, and ends at 2.35', async () => {
    covers('showComputeImage', 'success', 'foreign')
    covers('deleteComputeImage', 'success', 'foreign', 'wrong state')
    const image = await anImage(rig, { properties: { auto_disk_config: 'True' } })
    expect((await rig.call('reader', 'GET', `/images/${image.id}`)).body.image).toMatchObject({
      id: image.id,
      status: 'ACTIVE',
      progress: 100,
      'OS-DCF:diskConfig': 'AUTO',
    })
    for (const path of ['/images', '/images/detail', `/images/${image.id}`]) {
      expect((await rig.call('member', 'GET', path, { version: '2.35' })).status).toBe(200)
      expect((await rig.call('member', 'GET', path, { version: '2.36' })).body.itemNotFound.message).toBe(
        'The resource could not be found.',
      )
    }
    for (const method of ['GET', 'DELETE'] as const) {
      for (const id of [randomUUID(), 'nope', `${image.id}1`]) expect((await rig.call('member', method, `/images/${id}`)).status).toBe(404)
      expect((await rig.call('foreign', method, `/images/${image.id}`)).status).toBe(404)
    }
    expect((await rig.call('member', 'DELETE', '/images/')).status).toBe(404)
    expect((await rig.call('reader', 'DELETE', `/images/${image.id}`)).status).toBe(403)
    const kept = await anImage(rig, { protected: true })
    expect((await rig.call('member', 'DELETE', `/images/${kept.id}`)).body.forbidden.message).toBe(
      'You are not allowed to delete the image.',
    )
    expect((await rig.call('member', 'DELETE', `/images/${image.id}`)).status).toBe(204)
    expect((await rig.call('member', 'DELETE', `/images/${image.id}`)).status).toBe(404)
  })

  it('changes properties as metadata, up to 2.38', async () => {
    covers('showComputeImageMetadata', 'success', 'foreign')
    covers('mergeComputeImageMetadata', 'success', 'foreign', 'invalid')
    covers('replaceComputeImageMetadata', 'success', 'foreign', 'invalid')
    covers('showComputeImageMetadataItem', 'success', 'foreign')
    covers('setComputeImageMetadataItem', 'success', 'foreign', 'invalid')
    covers('deleteComputeImageMetadataItem', 'success', 'foreign')
    const image = await anImage(rig, { properties: { os_distro: 'a' } })
    const path = `/images/${image.id}/metadata`
    expect((await rig.call('member', 'POST', path, { body: { metadata: { os_version: 'b' } } })).body).toEqual({
      metadata: { os_distro: 'a', os_version: 'b' },
    })
    expect((await rig.call('member', 'PUT', path, { body: { metadata: { c: 'd' } } })).body).toEqual({ metadata: { c: 'd' } })
    expect((await rig.call('member', 'PUT', `${path}/e`, { body: { meta: { e: 'f' } } })).body).toEqual({ meta: { e: 'f' } })
    expect((await rig.call('reader', 'GET', `${path}/e`)).body).toEqual({ meta: { e: 'f' } })
    expect((await rig.call('member', 'DELETE', `${path}/c`)).status).toBe(204)
    expect((await rig.call('member', 'GET', path, { version: '2.38' })).body).toEqual({ metadata: { e: 'f' } })
    expect((await rig.call('member', 'GET', path, { version: '2.39' })).status).toBe(404)
    expect((await rig.db.read.images.find(ANY, image.id))?.properties).toEqual({ e: 'f' })
    for (const method of ['GET', 'DELETE'] as const) expect((await rig.call('member', method, `${path}/c`)).status).toBe(404)
    const writes = [
      ['POST', path, { metadata: { a: '1' } }],
      ['PUT', path, { metadata: {} }],
      ['PUT', `${path}/a`, { meta: { a: '1' } }],
      ['DELETE', `${path}/e`, undefined],
    ] as const
    for (const [method, target, body] of writes) {
      expect((await rig.call('foreign', method, target, { body })).status).toBe(404)
      expect((await rig.call('reader', method, target, { body })).status).toBe(403)
    }
    for (const target of [path, `${path}/e`]) expect((await rig.call('foreign', 'GET', target)).status).toBe(404)
    const open = await anImage(rig, { visibility: 'community' })
    expect((await rig.call('foreign', 'PUT', `/images/${open.id}/metadata`, { body: { metadata: {} } })).status).toBe(403)
    for (const metadata of [{ '': 'x' }, { k: 1 }, { k: 'x'.repeat(256) }])
      for (const method of ['POST', 'PUT'] as const)
        expect((await rig.call('member', method, path, { body: { metadata } })).status).toBe(400)
    expect((await rig.call('member', 'PUT', `${path}/a`, { body: { meta: { b: '1' } } })).status).toBe(400)
    expect((await rig.call('member', 'PUT', path, { body: { metadata: { checksum: 'x' } } })).status).toBe(403)
  })
})
