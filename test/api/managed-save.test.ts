/** A server's saved state, as a caller meets it: by our API, by Nova's suspend and resume, and in the way of other things. */
import { afterEach, describe, expect, it } from 'vitest'
import type { MemoryState } from '../../src/domain/memory-state.js'
import { ANY } from '../../src/ports/stores.js'
import { covers } from '../support/api.js'
import { memoryStateRow } from '../support/rows.js'
import { aServer, aVolume, inputOf, useRig } from './compute/rig.js'

const rig = useRig()
const V1 = '/strata/v1'
let id = ''
const path = (): string => `${V1}/servers/${id}/managed-save`

async function saved(patch: Partial<MemoryState> = {}, vmState: 'stopped' | 'suspended' = 'stopped'): Promise<string> {
  id = await aServer(rig, { vmState })
  const row = memoryStateRow({
    serverId: id,
    projectId: rig.projectId('member'),
    poolId: rig.poolId,
    hostId: 'host-a',
    size: 1000,
    ...patch,
  })
  await rig.db.transaction((stores) => stores.memoryStates.insert(row))
  return row.id
}

afterEach(() => {
  id = ''
})

describe('managed save', () => {
  it('of a running server plans its memory beside its disk and names the job', async () => {
    covers('saveServer', 'success')
    id = await aServer(rig)
    const { body } = await rig.api.as('member').post(path()).expect(202)
    expect(body.managed_save).toMatchObject({ server_id: id, status: 'saving', size: null, was: 'running', bound_to: null })
    const input = await inputOf(rig.db, 'save-server', id)
    expect(input).toMatchObject({ serverId: id, memoryStateId: body.managed_save.id, becomes: 'stopped' })
    expect(input.diskIds).toHaveLength(1)
    expect(await rig.db.read.servers.find(ANY, id)).toMatchObject({ vmState: 'active', taskState: 'suspending' })
    expect(await rig.db.read.artefacts.find(ANY, `memory:${body.managed_save.id}`)).toMatchObject({ kind: 'memory-file' })
    expect((await rig.db.read.jobs.find(ANY, body.job_id))?.operation).toBe('save-server')
    expect((await rig.api.as('member').post(path())).status).toBe(409)
  })

  it('is for servers that run or are paused, and for those who may', async () => {
    covers('saveServer', 'foreign', 'wrong state')
    id = await aServer(rig, { vmState: 'stopped' })
    const refused = await rig.api.as('member').post(path()).expect(409)
    expect(refused.body.error.message).toBe(`Cannot 'managed-save' instance ${id} while it is in vm_state stopped`)
    expect((await rig.api.as('foreign').post(path())).status).toBe(404)
    expect((await rig.api.as('reader').post(path())).status).toBe(403)
  })

  it('is shown with what it is bound to, and only once it is there', async () => {
    covers('showSavedState', 'success', 'foreign')
    const memoryId = await saved({ resumeAtStart: true, wasRunning: false })
    const { body } = await rig.api.as('reader').get(path()).expect(200)
    const bound = { machine: 'pc-i440fx-7.2', accelerator: 'tcg', disks: [{ disk_id: 'd', virtual_size: 2 ** 40 }] }
    expect(body.managed_save).toMatchObject({
      id: memoryId,
      status: 'saved',
      size: 1000,
      was: 'paused',
      resume_at_start: true,
      bound_to: bound,
    })
    expect((await rig.api.as('foreign').get(path())).status).toBe(404)
    await rig.db.transaction((stores) => stores.memoryStates.update(memoryId, { status: 'planned' }))
    expect((await rig.api.as('member').get(path()).expect(404)).body.error.message).toBe(`Server ${id} has no saved state.`)
  })

  it('is discarded at once, its file by a job; a suspended server is just off then', async () => {
    covers('discardSavedState', 'success')
    const memoryId = await saved({}, 'suspended')
    const { body } = await rig.api.as('member').delete(path()).expect(202)
    expect(await inputOf(rig.db, 'discard-saved', id)).toMatchObject({ serverId: id, memoryStateId: memoryId })
    expect((await rig.db.read.jobs.find(ANY, body.job_id))?.operation).toBe('discard-saved')
    expect(await rig.db.read.servers.find(ANY, id)).toMatchObject({ vmState: 'stopped', taskState: null })
    const where = { resourceId: { is: id }, kind: { is: 'server.saved-state-discarded' } }
    expect(await rig.db.read.events.count(ANY, where)).toBe(1)
    expect((await rig.act('member', id, { 'os-start': null })).status).toBe(202)
    expect(await inputOf(rig.db, 'start-server', id)).toMatchObject({ serverId: id })
  })

  it('is not discarded where there is none, while it is restored, or by those who may not', async () => {
    covers('discardSavedState', 'foreign', 'wrong state')
    await saved()
    expect((await rig.api.as('foreign').delete(path())).status).toBe(404)
    expect((await rig.api.as('reader').delete(path())).status).toBe(403)
    await rig.db.transaction((stores) => stores.servers.update(id, { taskState: 'powering-on' }))
    expect((await rig.api.as('member').delete(path())).status).toBe(409)
    id = await aServer(rig, { vmState: 'stopped' })
    expect((await rig.api.as('member').delete(path())).status).toBe(404)
  })

  it('lets a server say whether it comes back with its host', async () => {
    covers('setAutostart', 'success', 'invalid', 'foreign')
    id = await aServer(rig)
    const put = (role: 'member' | 'foreign' | 'reader', body: object) => rig.api.as(role).put(`${V1}/servers/${id}/autostart`).send(body)
    expect((await put('member', { autostart: false }).expect(200)).body).toEqual({ autostart: false })
    expect((await rig.db.read.servers.find(ANY, id))?.autostart).toBe(false)
    expect((await put('member', { autostart: 'maybe' })).status).toBe(400)
    expect((await put('foreign', { autostart: true })).status).toBe(404)
    expect((await put('reader', { autostart: true })).status).toBe(403)
  })
})

describe('a server with a saved state', () => {
  it('is restored by a start', async () => {
    const memoryId = await saved()
    expect((await rig.act('member', id, { 'os-start': null })).status).toBe(202)
    expect(await inputOf(rig.db, 'restore-server', id)).toMatchObject({ serverId: id, memoryStateId: memoryId })
    const where = { operation: { is: 'start-server' }, resourceId: { is: id } }
    expect(await rig.db.read.jobs.list(ANY, { where })).toEqual([])
  })

  it('keeps its disks as they are: attach, detach and extend are refused with a way out', async () => {
    const volume = await aVolume(rig)
    const attached = await aVolume(rig)
    id = await aServer(rig)
    await rig.call('member', 'POST', `/servers/${id}/os-volume_attachments`, { body: { volumeAttachment: { volumeId: attached.id } } })
    await rig.db.transaction(async (stores) => {
      for (const one of await stores.attachments.list(ANY, { where: { serverId: { is: id } } }))
        await stores.attachments.update(one.id, { status: 'attached' })
      await stores.volumes.update(attached.id, { status: 'in-use' })
      await stores.disks.update(attached.diskId, { serverId: id })
      await stores.servers.update(id, { vmState: 'stopped' })
      await stores.memoryStates.insert(memoryStateRow({ serverId: id, projectId: rig.projectId('member') }))
    })
    const wayOut = 'while it has a saved state: resume the server or discard the state'
    const attach = await rig.call('member', 'POST', `/servers/${id}/os-volume_attachments`, {
      body: { volumeAttachment: { volumeId: volume.id } },
    })
    expect([attach.status, attach.body.conflictingRequest.message]).toEqual([409, `Cannot 'attach_volume' instance ${id} ${wayOut}`])
    const detach = await rig.call('member', 'DELETE', `/servers/${id}/os-volume_attachments/${attached.id}`)
    expect([detach.status, detach.body.conflictingRequest.message]).toEqual([409, `Cannot 'detach_volume' instance ${id} ${wayOut}`])
    const extend = await rig.api
      .as('member', { 'OpenStack-API-Version': 'volume 3.42' })
      .post(`/volume/v3/${rig.projectId('member')}/volumes/${attached.id}/action`)
      .send({ 'os-extend': { new_size: 2 } })
    expect(extend.status).toBe(409)
    expect(extend.text).toContain(wayOut)
  })

  it('gives it up for a hard reboot: first the state goes, then it starts from power-off', async () => {
    const memoryId = await saved({}, 'suspended')
    expect((await rig.act('member', id, { reboot: { type: 'HARD' } })).status).toBe(202)
    expect((await rig.db.read.memoryStates.find(ANY, memoryId))?.status).toBe('planned')
    const jobs = await rig.db.read.jobs.list(ANY, { where: { resourceId: { is: id } }, sort: [{ key: 'seq', dir: 'asc' }] })
    expect(jobs.map((job) => job.operation).slice(-2)).toEqual(['discard-saved', 'reboot-server'])
  })

  it('that was suspended is not resumed as if nothing had been when the state is not there', async () => {
    covers('serverAction:resume', 'wrong state')
    id = await aServer(rig, { vmState: 'suspended' })
    const refused = await rig.act('member', id, { resume: null })
    expect([refused.status, refused.body.conflictingRequest.message]).toEqual([
      409,
      `Cannot 'resume' instance ${id}: it has no saved state`,
    ])
    expect((await rig.db.read.servers.find(ANY, id))?.taskState).toBeNull()
  })
})
