/** POST /volumes/{id}/action {"revert": …}: to the latest snapshot and no other, detached volumes only. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RevertVolumeInput } from '../../../src/domain/server-snapshot-operations.js'
import { ANY } from '../../../src/ports/stores.js'
import { covers, HOST_ID, openApi, type Role, type TestApi } from '../../support/api.js'
import { jobOf, serverWith, snapshotOf, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const revert = (id: string, what: object | null, role: Role = 'member', version = '3.40') =>
  api
    .as(role, { 'OpenStack-API-Version': `volume ${version}` })
    .post(`${V3}/volumes/${id}/action`)
    .send({ revert: what })
const volumeRow = (id: string) => api.db.read.volumes.find(ANY, id)
const snapshotRow = (id: string) => api.db.read.snapshots.find(ANY, id)

describe('revert', () => {
  it('takes volume and latest snapshot, and plans the overlay that becomes the disk', async () => {
    covers('volumeAction:revert', 'success')
    const id = await volumeIn(api)
    await snapshotOf(api, id)
    const latest = await snapshotOf(api, id)
    api.rung.length = 0
    const answer = await revert(id, { snapshot_id: latest }).expect(202)
    expect(answer.text).toBe('')
    const volume = await volumeRow(id)
    expect(volume).toMatchObject({ status: 'reverting', previousStatus: 'available' })
    const snapshot = await snapshotRow(latest)
    expect(snapshot).toMatchObject({ status: 'restoring' })
    const { input } = await jobOf<RevertVolumeInput>(api, id, 'revert-volume')
    expect(input).toMatchObject({ volumeId: id, diskId: volume?.diskId, snapshotId: latest, snapshotLayerId: snapshot?.layerId })
    const layer = await api.db.read.layers.find(ANY, input.layerId)
    expect(layer).toMatchObject({ state: 'planned', parentId: snapshot?.layerId, virtualSize: 2 ** 30 })
    expect(api.rung).toEqual([HOST_ID])
  })

  it('is refused for no snapshot, another than the latest, another size, and of strangers', async () => {
    covers('volumeAction:revert', 'invalid', 'foreign')
    const id = await volumeIn(api)
    const message = async (what: object) => (await revert(id, what).expect(400)).body.badRequest.message
    expect(await message({ snapshot_id: null })).toBe(`Volume ${id} doesn't have any snapshots.`)
    const older = await snapshotOf(api, id)
    const latest = await snapshotOf(api, id)
    expect(await message({ snapshot_id: older })).toBe(`Specified snapshot ${older} is None or not the latest one of volume ${id}.`)
    expect(await message({})).toBe(`Specified snapshot None is None or not the latest one of volume ${id}.`)
    await revert(id, null).expect(400)
    await revert(id, { snapshot_id: 5 }).expect(400)
    await revert(id, { snapshot_id: latest }, 'foreign').expect(404)
    await revert(id, { snapshot_id: latest }, 'reader').expect(403)
    await revert(id, { snapshot_id: latest }, 'member', '3.39').expect(400)
    await api.db.transaction((stores) => stores.volumes.update(id, { sizeGib: 2 }))
    expect(await message({ snapshot_id: latest })).toContain('The volume size must be equal to the snapshot size.')
    expect(await volumeRow(id)).toMatchObject({ status: 'available' })
  })

  it('conflicts with a volume or a snapshot that is busy, and leaves both as they are', async () => {
    covers('volumeAction:revert', 'wrong state')
    const id = await volumeIn(api)
    const snapshot = await snapshotOf(api, id)
    await api.db.transaction((stores) => stores.snapshots.update(snapshot, { status: 'backing-up' }))
    const first = await revert(id, { snapshot_id: snapshot }).expect(409)
    const words = `Can't revert volume ${id} to its latest snapshot ${snapshot}.`
    expect(first.body.conflictingRequest.message).toBe(`Invalid snapshot: ${words} Snapshot's status must be 'available'.`)
    expect(await volumeRow(id)).toMatchObject({ status: 'available' })
    await api.db.transaction((stores) => stores.snapshots.update(snapshot, { status: 'available' }))
    await serverWith(api, 'member', id)
    const second = await revert(id, { snapshot_id: snapshot }).expect(409)
    expect(second.body.conflictingRequest.message).toBe(`Invalid volume: ${words} Volume's status must be 'available'.`)
    expect(await snapshotRow(snapshot)).toMatchObject({ status: 'available' })
  })
})
