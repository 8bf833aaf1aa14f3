/** How long chains may get: whose rule holds, and what is refused where one is as long as it may be. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ANY } from '../../src/ports/stores.js'
import { covers, openApi, type TestApi } from '../support/api.js'
import { bareServer, machine, takeSnapshot, V1 } from '../support/server-snapshots.js'
import { setStatus, snapshotOf, V3, volumeIn } from '../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const member = () => api.as('member')
const ofProject = () => `${V1}/projects/${api.projectId('member')}/chain-policy`
const ofServer = (id: string) => `${V1}/servers/${id}/chain-policy`
afterEach(async () => {
  await member().delete(ofProject()).expect(204)
})

describe('the rule that holds', () => {
  it("is the server's own, else its project's, else the default", async () => {
    covers('showServerChainPolicy', 'success', 'foreign')
    covers('setServerChainPolicy', 'success', 'foreign', 'invalid')
    covers('clearServerChainPolicy', 'success', 'foreign')
    covers('showProjectChainPolicy', 'success', 'foreign')
    covers('setProjectChainPolicy', 'success', 'foreign', 'invalid')
    covers('clearProjectChainPolicy', 'success', 'foreign')
    const serverId = await bareServer(api)
    const holds = async () => (await member().get(ofServer(serverId)).expect(200)).body.chain_policy
    expect(await holds()).toEqual({ soft_depth: 16, hard_depth: 32, bytes_per_second: 64 * 1024 ** 2, from: 'default' })
    const set = await member().put(ofProject()).send({ soft_depth: 4, hard_depth: 8 }).expect(200)
    expect(set.body.chain_policy).toEqual({ soft_depth: 4, hard_depth: 8, bytes_per_second: 64 * 1024 ** 2, from: 'project' })
    await member().put(ofServer(serverId)).send({ bytes_per_second: 0 }).expect(200)
    expect(await holds()).toEqual({ soft_depth: 4, hard_depth: 8, bytes_per_second: 0, from: 'server' })
    await member().put(ofServer(serverId)).send({ hard_depth: 9 }).expect(200)
    expect(await holds()).toMatchObject({ soft_depth: 4, hard_depth: 9, bytes_per_second: 0 })
    await member().put(ofServer(serverId)).send({ soft_depth: 10 }).expect(400)
    await member().put(ofServer(serverId)).send({ soft_depth: 1 }).expect(400)
    await member().put(ofProject()).send({ depth: 1 }).expect(400)
    await member().delete(ofServer(serverId)).expect(204)
    await member().delete(ofServer(serverId)).expect(204)
    expect(await holds()).toMatchObject({ hard_depth: 8, from: 'project' })
    for (const path of [ofServer(serverId), ofProject()]) {
      await api.as('foreign').get(path).expect(404)
      await api.as('foreign').put(path).send({}).expect(404)
      await api.as('foreign').delete(path).expect(404)
      await api.as('reader').get(path).expect(200)
      await api.as('reader').put(path).send({}).expect(403)
    }
    await api.as('admin').get(`${V1}/projects/no-such/chain-policy`).expect(404)
  })
})

describe('a chain as long as it may be', () => {
  it('gets no layer more from Cinder: no snapshot, no clone, no image', async () => {
    await member().put(ofProject()).send({ soft_depth: 2, hard_depth: 3 }).expect(200)
    const volumeId = await volumeIn(api)
    for (const _ of [1, 2]) await snapshotOf(api, volumeId)
    const snapshot = { volume_id: volumeId, force: true }
    const refusal = await member().post(`${V3}/snapshots`).send({ snapshot }).expect(400)
    expect(refusal.body.badRequest.message).toMatch(/^Invalid volume: The chain of disk .* has 3 layers and may have 3: /)
    await member()
      .post(`${V3}/volumes`)
      .send({ volume: { source_volid: volumeId, size: 1 } })
      .expect(400)
    const upload = { 'os-volume_upload_image': { image_name: 'i', force: true } }
    await member().post(`${V3}/volumes/${volumeId}/action`).send(upload).expect(400)
    await member().put(ofProject()).send({ hard_depth: 4 }).expect(200)
    await member().post(`${V3}/snapshots`).send({ snapshot }).expect(202)
    // The one that is coming counts.
    await member().post(`${V3}/snapshots`).send({ snapshot }).expect(400)
    await setStatus(api, volumeId, 'available')
  })

  it('gets none from Nova or from server snapshots either, but for those inside the layer that is there', async () => {
    const { serverId } = await machine(api)
    await takeSnapshot(api, serverId)
    await member().put(ofServer(serverId)).send({ soft_depth: 2, hard_depth: 2 }).expect(200)
    const image = await member()
      .post(`/compute/v2.1/servers/${serverId}/action`)
      .send({ createImage: { name: 'i' } })
      .expect(409)
    expect(image.body.conflictingRequest.message).toContain('has 2 layers and may have 2')
    await member().post(`${V1}/servers/${serverId}/snapshots`).send({}).expect(409)
    await member().post(`${V1}/servers/${serverId}/snapshots`).send({ kind: 'internal' }).expect(202)
    expect(await api.db.read.serverSnapshots.count(ANY, { serverId: { is: serverId } })).toBe(2)
  })

  it('is not made longer by snapshots that failed, nor by those that are tags', async () => {
    const { serverId } = await machine(api)
    await member().put(ofServer(serverId)).send({ soft_depth: 2, hard_depth: 2 }).expect(200)
    const take = (body: object) => member().post(`${V1}/servers/${serverId}/snapshots`).send(body)
    const { id } = (await take({}).expect(202)).body.server_snapshot
    await take({}).expect(409)
    await api.db.transaction((stores) => stores.serverSnapshots.transition(id, ['creating'], { status: 'error' }))
    await take({ kind: 'internal' }).expect(202)
    await take({}).expect(202)
  })
})
