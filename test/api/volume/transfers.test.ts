/** Volumes handed from one project to another, under both names of the resource. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ANY } from '../../../src/ports/stores.js'
import { covers, openApi, type Role, type TestApi } from '../../support/api.js'
import { setStatus, snapshotOf, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const NAMES = ['os-volume-transfer', 'volume-transfers'] as const
type Name = (typeof NAMES)[number]
const as = (role: Role, version = '3.66') => api.as(role, { 'OpenStack-API-Version': `volume ${version}` })
const offer = async (name: Name, volume_id: string, more: object = {}): Promise<{ id: string; auth_key: string }> =>
  (
    await as('member')
      .post(`${V3}/${name}`)
      .send({ transfer: { volume_id, ...more } })
      .expect(202)
  ).body.transfer
const accept = (name: Name, id: string, auth_key: string, role: Role = 'foreign') =>
  as(role).post(`${V3}/${name}/${id}/accept`).send({ accept: { auth_key } })
const used = async (role: Role) => {
  const { volumes = 0, gigabytes = 0, snapshots = 0 } = await api.db.read.quotas.usage(api.projectId(role))
  return { volumes, gigabytes, snapshots }
}

describe.each(NAMES)('%s', (name) => {
  covers('createTransfer', 'success', 'invalid')
  covers('createVolumeTransfer', 'success', 'invalid')
  covers('acceptTransfer', 'success', 'invalid')
  covers('acceptVolumeTransfer', 'success', 'invalid')
  covers('showTransfer', 'success')
  covers('showVolumeTransfer', 'success')
  covers('deleteTransfer', 'success')
  covers('deleteVolumeTransfer', 'success')
  covers('listTransfers', 'success')
  covers('listVolumeTransfers', 'success')
  covers('listTransfersDetail', 'success')
  covers('listVolumeTransfersDetail', 'success')

  it('moves a volume, its disk, its snapshots and what they count to who brings the key', async () => {
    const volume = await volumeIn(api, 'available', 'member', { size: 2, name: 'gift' })
    const snapshot = await snapshotOf(api, volume)
    const [mine, theirs] = [await used('member'), await used('foreign')]
    const { id, auth_key } = await offer(name, volume, { name: ' to you ' })
    expect(auth_key).toMatch(/^[0-9a-f]{16}$/)
    expect((await as('member').get(`${V3}/volumes/${volume}`)).body.volume.status).toBe('awaiting-transfer')
    const shown = (await as('reader').get(`${V3}/${name}/${id}`).expect(200)).body.transfer
    expect(shown).toMatchObject({
      id,
      volume_id: volume,
      name: 'to you',
      no_snapshots: false,
      accepted: false,
      destination_project_id: null,
    })
    expect(shown).not.toHaveProperty('auth_key')
    expect((await as('member').get(`${V3}/${name}`)).body.transfers.map((one: object) => Object.keys(one))).toEqual([
      ['id', 'volume_id', 'name', 'links'],
    ])
    expect((await as('member').get(`${V3}/${name}/detail?name=to%20you`)).body.transfers).toEqual([shown])
    expect((await as('foreign').get(`${V3}/${name}`)).body.transfers).toEqual([])
    expect((await as('admin').get(`${V3}/${name}?all_tenants=1`)).body.transfers).toHaveLength(1)

    const wrong = await accept(name, id, '0'.repeat(16)).expect(400)
    expect(wrong.body.badRequest.message).toBe(`Invalid auth key: Attempt to transfer ${id} with invalid auth key.`)
    expect((await accept(name, id, auth_key).expect(202)).body.transfer).toMatchObject({ id, volume_id: volume })
    await as('member').get(`${V3}/volumes/${volume}`).expect(404)
    await as('member').get(`${V3}/snapshots/${snapshot}`).expect(404)
    const moved = (await as('foreign').get(`${V3}/volumes/${volume}`).expect(200)).body.volume
    expect(moved).toMatchObject({ status: 'available', user_id: api.caller('foreign').userId })
    await as('foreign').get(`${V3}/snapshots/${snapshot}`).expect(200)
    const diskId = (await api.db.read.volumes.find(ANY, volume))?.diskId ?? ''
    expect((await api.db.read.disks.find(ANY, diskId))?.projectId).toBe(api.projectId('foreign'))
    expect(await used('member')).toEqual({ volumes: mine.volumes - 1, gigabytes: mine.gigabytes - 4, snapshots: mine.snapshots - 1 })
    expect(await used('foreign')).toEqual({ volumes: theirs.volumes + 1, gigabytes: theirs.gigabytes + 4, snapshots: theirs.snapshots + 1 })
    await accept(name, id, auth_key).expect(404)
  })

  it('takes an offer back', async () => {
    const volume = await volumeIn(api)
    const { id, auth_key } = await offer(name, volume)
    await as('foreign').get(`${V3}/${name}/${id}`).expect(404)
    await as('foreign').delete(`${V3}/${name}/${id}`).expect(404)
    await as('reader').delete(`${V3}/${name}/${id}`).expect(403)
    await as('member').delete(`${V3}/volumes/${volume}`).expect(400)
    await as('member').delete(`${V3}/${name}/${id}`).expect(202)
    expect((await as('member').get(`${V3}/volumes/${volume}`)).body.volume.status).toBe('available')
    await accept(name, id, auth_key).expect(404)
  })

  it('changes nothing when the taker has no room', async () => {
    const volume = await volumeIn(api, 'available', 'member', { size: 3 })
    const snapshot = await snapshotOf(api, volume)
    const { id, auth_key } = await offer(name, volume)
    const [mine, theirs] = [await used('member'), await used('foreign')]
    const project = api.projectId('foreign')
    for (const limits of [{ gigabytes: theirs.gigabytes + 5 }, { volumes: theirs.volumes }, { per_volume_gigabytes: 2 }]) {
      await api.db.transaction((stores) => stores.quotas.setLimits(project, limits))
      expect((await accept(name, id, auth_key).expect(413)).body.overLimit.retryAfter).toBe('0')
      await api.db.transaction((stores) => stores.quotas.clearLimits(project))
    }
    expect([await used('member'), await used('foreign')]).toEqual([mine, theirs])
    await as('member').get(`${V3}/snapshots/${snapshot}`).expect(200)
    expect((await as('member').get(`${V3}/volumes/${volume}`)).body.volume.status).toBe('awaiting-transfer')
    await accept(name, id, auth_key).expect(202)
  })

  it('offers only what is available, one’s own, and whole', async () => {
    const busy = await volumeIn(api, 'error')
    const ask = (transfer: object, role: Role = 'member') => as(role).post(`${V3}/${name}`).send({ transfer })
    expect((await ask({ volume_id: busy }).expect(400)).body.badRequest.message).toBe('Invalid volume: status must be available')
    await ask({ volume_id: busy }, 'foreign').expect(404)
    await ask({ volume_id: busy }, 'reader').expect(403)
    await ask({ volume_id: randomUUID() }).expect(404)
    for (const bad of [{}, { volume_id: 'x' }, { volume_id: busy, name: 'n'.repeat(256) }, { volume_id: busy, more: 1 }])
      await ask(bad).expect(400)
    const volume = await volumeIn(api)
    const snapshot = await snapshotOf(api, volume)
    await api.db.transaction((stores) => stores.snapshots.transition(snapshot, ['available'], { status: 'error' }))
    expect((await ask({ volume_id: volume }).expect(400)).body.badRequest.message).toBe(
      `Invalid snapshot: snapshot: ${snapshot} status must be available`,
    )
    expect((await as('member').get(`${V3}/volumes/${volume}`)).body.volume.status).toBe('available')
    await as('foreign').post(`${V3}/${name}/${randomUUID()}/accept`).send({ accept: {} }).expect(400)
    await accept(name, randomUUID(), 'x').expect(404)
  })
})

describe('an offer', () => {
  it('leaves the snapshots behind if it says so, from 3.55 and there only', async () => {
    const volume = await volumeIn(api)
    const snapshot = await snapshotOf(api, volume)
    await as('member')
      .post(`${V3}/os-volume-transfer`)
      .send({ transfer: { volume_id: volume, no_snapshots: true } })
      .expect(400)
    const { id, auth_key } = await offer('volume-transfers', volume, { no_snapshots: true })
    await accept('volume-transfers', id, auth_key).expect(202)
    await as('member').get(`${V3}/snapshots/${snapshot}`).expect(200)
    await as('foreign').get(`${V3}/snapshots/${snapshot}`).expect(404)
    await as('foreign').get(`${V3}/volumes/${volume}`).expect(200)
    // Nor does the new owner delete them with the volume.
    for (const query of ['', '?cascade=true']) await as('foreign').delete(`${V3}/volumes/${volume}${query}`).expect(400)
    await as('member').delete(`${V3}/snapshots/${snapshot}`).expect(202)
  })

  it('tells more from 3.55 and 3.57, and has pages from 3.59', async () => {
    const ids: string[] = []
    for (const _ of [1, 2]) ids.push((await offer('volume-transfers', await volumeIn(api))).id)
    const shown = async (version: string) =>
      Object.keys((await as('member', version).get(`${V3}/os-volume-transfer/${ids[0]}`)).body.transfer)
    expect(await shown('3.54')).toEqual(['id', 'volume_id', 'name', 'links', 'created_at'])
    expect(await shown('3.55')).toContain('no_snapshots')
    expect(await shown('3.56')).not.toContain('accepted')
    expect(await shown('3.57')).toEqual(expect.arrayContaining(['source_project_id', 'destination_project_id', 'accepted']))
    await as('member', '3.54').get(`${V3}/volume-transfers`).expect(404)
    const list = async (version: string, query: string) =>
      (await as('member', version).get(`${V3}/volume-transfers${query}`).expect(200)).body
    expect((await list('3.58', '?marker=nonsense&sort=nonsense')).transfers.map(({ id }: { id: string }) => id)).toEqual(ids)
    const first = await list('3.59', '?limit=1&sort=created_at:asc')
    expect(first.transfers[0].id).toBe(ids[0])
    const next = await list('3.59', new URL(first.transfers_links[0].href).search)
    expect(next.transfers[0].id).toBe(ids[1])
    await as('member', '3.59').get(`${V3}/volume-transfers?marker=nonsense`).expect(404)
  })

  it('goes with a volume that is deleted by force, and is not taken if the volume left its state', async () => {
    const [volume, other] = [await volumeIn(api), await volumeIn(api)]
    const { id } = await offer('volume-transfers', volume)
    await as('admin').post(`${V3}/volumes/${volume}/action`).send({ 'os-force_delete': {} }).expect(202)
    await as('member').get(`${V3}/volume-transfers/${id}`).expect(404)
    const late = await offer('volume-transfers', other)
    await setStatus(api, other, 'error')
    const { body } = await accept('volume-transfers', late.id, late.auth_key).expect(400)
    expect(body.badRequest.message).toContain('in unexpected state error, expected awaiting-transfer')
  })

  it('is worth nothing once the volume was offered anew or has moved on', async () => {
    const volume = await volumeIn(api)
    const reset = () =>
      as('admin')
        .post(`${V3}/volumes/${volume}/action`)
        .send({ 'os-reset_status': { status: 'available' } })
        .expect(202)
    const stale = await offer('volume-transfers', volume)
    await reset()
    const fresh = await offer('volume-transfers', volume)
    await accept('volume-transfers', stale.id, stale.auth_key).expect(404)
    const row = await api.db.read.volumeTransfers.find(ANY, fresh.id)
    await accept('volume-transfers', fresh.id, fresh.auth_key).expect(202)
    expect(await api.db.read.volumeTransfers.count(ANY, { volumeId: { is: volume } })).toBe(0)
    // The giver's offer, come back by whatever way, while the new owner offers the volume.
    await as('foreign')
      .post(`${V3}/volume-transfers`)
      .send({ transfer: { volume_id: volume } })
      .expect(202)
    if (row === undefined) throw new Error('no offer')
    const { seq: _, ...old } = row
    await api.db.transaction((stores) => stores.volumeTransfers.insert(old))
    await accept('volume-transfers', fresh.id, fresh.auth_key, 'member').expect(404)
    expect((await api.db.read.volumes.find(ANY, volume))?.projectId).toBe(api.projectId('foreign'))
  })
})
