/** Our own API: jobs, hosts, the bell, and what a snapshot is worth. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Job } from '../../src/domain/job.js'
import type { CreateVolumeInput } from '../../src/domain/operations.js'
import { covers, HOST_ID, openApi, type TestApi } from '../support/api.js'

let api: TestApi
let volumeId: string
let jobId: string
const V1 = '/strata/v1'

beforeAll(async () => {
  api = await openApi()
  volumeId = (
    await api
      .as('member')
      .post('/volume/v3/volumes')
      .send({ volume: { size: 1 } })
      .expect(202)
  ).body.volume.id
  jobId = (await api.as('member').get(`${V1}/jobs?resource_id=${volumeId}`).expect(200)).body.jobs[0].id
})
afterAll(() => api.close())

/** A volume as the worker leaves it: with a top layer, available. Its creating job stays in the queue. */
async function readyVolume(): Promise<string> {
  const answer = await api
    .as('member')
    .post('/volume/v3/volumes')
    .send({ volume: { size: 1 } })
    .expect(202)
  const { id } = answer.body.volume
  await api.db.transaction(async (stores) => {
    const [job] = await stores.jobs.unfinished('volume', id)
    const { layer } = (job as Job).input as CreateVolumeInput
    await stores.disks.update(layer.diskId, { topLayerId: layer.layerId })
    await stores.layers.transition(layer.layerId, ['planned'], { state: 'top' })
    await stores.volumes.transition(id, ['creating'], { status: 'available' })
  })
  return id
}

describe('jobs', () => {
  it('are listed newest first, filtered and paged, each project its own', async () => {
    covers('listJobs', 'success')
    for (let made = 0; made < 3; made++)
      await api
        .as('member')
        .post('/volume/v3/volumes')
        .send({ volume: { size: 1 } })
        .expect(202)
    const page = await api.as('member').get(`${V1}/jobs?operation=create-volume&limit=3`).expect(200)
    expect(page.body.jobs).toHaveLength(3)
    const rest = await api.as('member').get(page.body.next.slice(api.url.length)).expect(200)
    expect(rest.body.jobs.map((job: { id: string }) => job.id)).toContain(jobId)
    expect(rest.body.next).toBeNull()
    expect((await api.as('member').get(`${V1}/jobs?state=done`).expect(200)).body.jobs).toEqual([])
    expect((await api.as('foreign').get(`${V1}/jobs`).expect(200)).body.jobs).toEqual([])
    expect((await api.as('foreign').get(`${V1}/jobs?all_projects=true`).expect(200)).body.jobs).toEqual([])
    expect((await api.as('admin').get(`${V1}/jobs?all_projects=true`).expect(200)).body.jobs).toHaveLength(4)
    await api.as('member').get(`${V1}/jobs?state=tired`).expect(400)
  })

  it('are shown with their steps and explained in words', async () => {
    covers('showJob', 'success', 'foreign')
    covers('explainJob', 'success', 'foreign')
    const { body } = await api.as('reader').get(`${V1}/jobs/${jobId}`).expect(200)
    expect(body).toMatchObject({
      job: {
        id: jobId,
        operation: 'create-volume',
        state: 'queued',
        resource_type: 'volume',
        resource_id: volumeId,
        progress: null,
        host_id: HOST_ID,
      },
      steps: [],
    })
    const told = (await api.as('member').get(`${V1}/jobs/${jobId}/explain`).expect(200)).body.explanation
    expect(told).toMatchObject({ code: 'waiting', waits_for: [], undone: [] })
    expect(told.you_can).toContain('cancel')
    await api.as('foreign').get(`${V1}/jobs/${jobId}`).expect(404)
    await api.as('foreign').get(`${V1}/jobs/${jobId}/explain`).expect(404)
  })

  it('that wait name what they wait for', async () => {
    const { as } = api
    await as('member')
      .post('/volume/v3/snapshots')
      .send({ snapshot: { volume_id: await readyVolume() } })
      .expect(202)
    const [waiting] = (await as('member').get(`${V1}/jobs?operation=create-snapshot`).expect(200)).body.jobs
    const { explanation } = (await as('member').get(`${V1}/jobs/${waiting.id}/explain`).expect(200)).body
    expect(explanation.waits_for[0].lock).toMatch(/^chain:/)
    expect(explanation.waits_for[0].holder.operation).toBe('create-volume')
  })

  it('are cancelled once, and retried only where that makes sense', async () => {
    covers('cancelJob', 'success', 'foreign', 'wrong state')
    covers('retryJob', 'success', 'foreign', 'wrong state')
    await api.as('foreign').post(`${V1}/jobs/${jobId}/cancel`).expect(404)
    await api.as('reader').post(`${V1}/jobs/${jobId}/cancel`).expect(403)
    expect((await api.as('member').post(`${V1}/jobs/${jobId}/retry`).expect(409)).body.error.kind).toBe('invalidState')
    await api.as('foreign').post(`${V1}/jobs/${jobId}/retry`).expect(404)

    const now = Date.now() * 1000
    const claim = await api.db.transaction((stores) =>
      stores.jobs.claim({ hostId: HOST_ID, workerId: 'w', now, leaseFor: 60_000_000, except: [] }),
    )
    const lease = claim?.lease ?? { jobId: '', workerId: '', token: 0 }
    expect((await api.as('member').post(`${V1}/jobs/${lease.jobId}/cancel`).expect(202)).body.job.cancel_requested).toBe(true)
    await api.db.transaction((stores) => stores.jobs.progress(lease, { bytesDone: 50, bytesTotal: 150, rate: 10, updatedAt: now }))
    expect((await api.as('member').get(`${V1}/jobs/${lease.jobId}`).expect(200)).body.job.progress).toEqual({
      bytes_done: 50,
      bytes_total: 150,
      bytes_per_second: 10,
      bytes_dirtied_per_second: 0,
      seconds_left: 10,
      converging: true,
    })
    const stalled = {
      bytesDone: 50,
      bytesTotal: 150,
      rate: 1024 ** 2,
      dirtyRate: 3 * 1024 ** 2,
      stalledSince: now,
      updatedAt: now + 45_000_000,
    }
    await api.db.transaction((stores) => stores.jobs.progress(lease, stalled))
    const told = (await api.as('member').get(`${V1}/jobs/${lease.jobId}/explain`).expect(200)).body
    expect(told.job.progress).toMatchObject({ bytes_dirtied_per_second: 3 * 1024 ** 2, seconds_left: null, converging: false })
    expect(told.explanation.sentence).toBe(
      'A worker is at it. It will not converge: for 45 seconds the guest has written 3.0 MiB/s while 1.0 MiB/s were copied.',
    )
    await api.db.transaction((stores) =>
      stores.jobs.settle(lease, 'needs_attention', { message: 'The file is gone.', detail: 'ENOENT /secret/path' }),
    )
    const stuck = await api.as('member').get(`${V1}/jobs/${lease.jobId}/explain`).expect(200)
    expect(stuck.body.explanation.code).toBe('needs_attention')
    expect(stuck.body.explanation.sentence).toContain('The file is gone.')
    expect(stuck.text).not.toContain('/secret')
    expect((await api.as('admin').post(`${V1}/jobs/${lease.jobId}/retry`).expect(202)).body.job.state).toBe('queued')
    expect(api.rung.at(-1)).toBe(HOST_ID)
  })

  it('that are finished cannot be cancelled', async () => {
    const now = Date.now() * 1000
    const claim = await api.db.transaction((stores) =>
      stores.jobs.claim({ hostId: HOST_ID, workerId: 'w', now, leaseFor: 60_000_000, except: [] }),
    )
    const lease = claim?.lease ?? { jobId: '', workerId: '', token: 0 }
    await api.db.transaction((stores) => stores.jobs.settle(lease, 'done', null))
    await api.as('member').post(`${V1}/jobs/${lease.jobId}/cancel`).expect(409)
    expect((await api.as('member').get(`${V1}/jobs/${lease.jobId}/explain`).expect(200)).body.explanation.code).toBe('done')
  })
})

describe('hosts', () => {
  it('are the administrator’s to see', async () => {
    covers('listHosts', 'success')
    covers('showHost', 'success')
    const { hosts } = (await api.as('admin').get(`${V1}/hosts`).expect(200)).body
    expect(hosts).toMatchObject([{ id: HOST_ID, state: 'up', pools: [{ name: 'default', is_default: true }], workers: [] }])
    expect((await api.as('admin').get(`${V1}/hosts/${HOST_ID}`).expect(200)).body.host).toEqual(hosts[0])
    await api.as('member').get(`${V1}/hosts`).expect(403)
    await api.as('admin').get(`${V1}/hosts/other`).expect(404)
  })

  it('are down when they are silent', async () => {
    await api.db.transaction((stores) => stores.hosts.update(HOST_ID, { heartbeatAt: 1 }))
    expect((await api.as('admin').get(`${V1}/hosts/${HOST_ID}`).expect(200)).body.host.state).toBe('down')
  })
})

describe('the doorbell', () => {
  it('rings for administrators and for those who know the secret, for nobody else', async () => {
    covers('ringDoorbell', 'success', 'invalid')
    const ring = (role: 'admin' | 'member' | null, headers = {}) => api.as(role, headers).post(`${V1}/doorbell`).send({ host_id: 'far' })
    await ring('admin').expect(202)
    await ring(null, { 'X-Strata-Doorbell': 'ding-dong' }).expect(202)
    expect(api.rung.slice(-2)).toEqual(['far', 'far'])
    await ring(null, { 'X-Strata-Doorbell': 'ding' }).expect(401)
    await ring(null, { 'X-Strata-Doorbell': '' }).expect(401)
    await ring('member').expect(403)
    await api.as(null, { 'X-Strata-Doorbell': 'ding-dong' }).get(`${V1}/hosts`).expect(401)
    await api.as('admin').post(`${V1}/doorbell`).send({}).expect(400)
  })
})

describe('a snapshot', () => {
  const snapshotted = async (): Promise<string> => {
    const snapshot = { volume_id: await readyVolume(), name: 's' }
    return (await api.as('member').post('/volume/v3/snapshots').send({ snapshot }).expect(202)).body.snapshot.id
  }

  it('tells the consistency it got', async () => {
    covers('showSnapshotReport', 'success', 'foreign')
    const id = await snapshotted()
    expect((await api.as('member').get(`${V1}/snapshots/${id}`).expect(200)).body.snapshot).toMatchObject({
      id,
      name: 's',
      status: 'creating',
      consistency: null,
      jobs: [expect.any(String)],
    })
    const report = {
      requested: 'required',
      reached: 'filesystem',
      degradedReason: null,
      frozenFilesystems: 1,
      thawedFilesystems: 1,
      frozenFor: 12_500,
      switchedIn: 800,
      skew: 0,
      live: true,
      takenAt: 1_700_000_000_000_000,
    } as const
    await api.db.transaction((stores) => stores.snapshots.transition(id, ['creating'], { status: 'available', report }))
    const { snapshot } = (await api.as('reader').get(`${V1}/snapshots/${id}`).expect(200)).body
    expect(snapshot.consistency).toEqual({
      requested: 'required',
      reached: 'filesystem',
      degraded_reason: null,
      frozen_filesystems: 1,
      thawed_filesystems: 1,
      frozen_seconds: 0.0125,
      switched_seconds: 0.0008,
      skew_seconds: 0,
      live: true,
      taken_at: '2023-11-14T22:13:20.000000Z',
    })
    await api.as('foreign').get(`${V1}/snapshots/${id}`).expect(404)
  })

  it('is deleted with a say in what becomes of shared bytes', async () => {
    covers('deleteSnapshotWith', 'success', 'invalid', 'foreign', 'wrong state')
    const id = await snapshotted()
    await api.as('member').delete(`${V1}/snapshots/${id}?children=each`).expect(400)
    await api.db.transaction((stores) => stores.snapshots.transition(id, ['creating'], { status: 'available' }))
    await api.as('foreign').delete(`${V1}/snapshots/${id}?children=each`).expect(404)
    await api.as('member').delete(`${V1}/snapshots/${id}?children=some`).expect(400)
    await api.as('member').delete(`${V1}/snapshots/${id}?children=each`).expect(202)
    const [job] = await api.db.read.jobs.list('any', { where: { operation: { is: 'delete-snapshot' }, resourceId: { is: id } } })
    expect(job?.input).toMatchObject({ snapshotId: id, children: 'each' })
  })
})
