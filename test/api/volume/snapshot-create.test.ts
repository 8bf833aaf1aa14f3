/** POST /snapshots: what is recorded, what is enqueued, how the guest is asked to hold still, what is refused. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CreateSnapshotInput } from '../../../src/domain/operations.js'
import type { VolumeStatus } from '../../../src/domain/volume.js'
import { ANY } from '../../../src/ports/stores.js'
import { covers, HOST_ID, openApi, type Role, type TestApi } from '../../support/api.js'
import { jobOf, requestVolume, serverWith, setStatus, V3, volumeIn } from '../../support/volumes.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const post = (snapshot: object, version = '3.0', role: Role = 'member') =>
  api
    .as(role, { 'OpenStack-API-Version': `volume ${version}` })
    .post(`${V3}/snapshots`)
    .send({ snapshot })
const refusal = async (status: number, snapshot: object, version?: string): Promise<string> => {
  const { body } = await post(snapshot, version).expect(status)
  return (Object.values(body)[0] as { message: string }).message
}

describe('a snapshot of a detached volume', () => {
  it('is accepted with its row, the disk’s next top, its job and its event', async () => {
    covers('createSnapshot', 'success')
    const volumeId = await volumeIn(api)
    const diskId = (await api.db.read.volumes.find(ANY, volumeId))?.diskId
    api.rung.length = 0
    const { body, headers } = await post({ volume_id: volumeId, name: 's', description: 'd', force: false, metadata: { p: 'q' } }).expect(
      202,
    )
    const { id } = body.snapshot
    expect(Object.keys(body.snapshot)).toEqual([
      'id',
      'created_at',
      'updated_at',
      'name',
      'description',
      'volume_id',
      'status',
      'size',
      'metadata',
    ])
    expect(body.snapshot).toMatchObject({ name: 's', description: 'd', volume_id: volumeId, status: 'creating', size: 1, updated_at: null })
    expect(headers['x-compute-request-id']).toBe(headers['x-openstack-request-id'])
    expect(await api.db.read.snapshots.find(ANY, id)).toMatchObject({
      progress: '0%',
      diskId,
      layerId: null,
      serverId: null,
      strategy: 'qemu-external',
      report: null,
    })
    const { input, id: jobId, operation } = await jobOf<CreateSnapshotInput>(api, id)
    expect(operation).toBe('create-snapshot')
    expect(input).toEqual({
      serverId: null,
      switches: [{ diskId, layerId: expect.any(String) }],
      snapshots: [{ snapshotId: id, diskId }],
      quiesce: 'none',
      imageId: null,
      strategy: 'qemu-external',
    })
    const overlay = input.switches[0]?.layerId ?? ''
    expect(await api.db.read.layers.find(ANY, overlay)).toMatchObject({ state: 'planned', parentId: null })
    expect(await api.db.read.artefacts.find(ANY, `layer:${overlay}`)).toBeDefined()
    expect(await api.db.read.jobs.locks(jobId)).toEqual([`chain:${diskId}`])
    expect(await api.db.read.events.list(ANY, { where: { resourceId: { is: id } } })).toMatchObject([{ kind: 'snapshot.create' }])
    expect(api.rung).toEqual([HOST_ID])
  })

  it('is accepted ten times at once', async () => {
    const volumeId = await volumeIn(api)
    const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => post({ volume_id: volumeId, name: `s${index}` })))
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(202))
    expect(await api.db.read.snapshots.count(ANY, { volumeId: { is: volumeId }, status: { is: 'creating' } })).toBe(10)
  })

  it('shows at each version the fields of that version', async () => {
    const volumeId = await volumeIn(api)
    expect((await post({ volume_id: volumeId }, '3.66').expect(202)).body.snapshot).toMatchObject({
      group_snapshot_id: null,
      user_id: api.caller('member').userId,
      consumes_quota: true,
    })
    const older = (await post({ volume_id: volumeId }, '3.40').expect(202)).body.snapshot
    expect(older).toHaveProperty('group_snapshot_id')
    expect(older).not.toHaveProperty('user_id')
  })

  it('keeps any name as it was written', async () => {
    const volumeId = await volumeIn(api)
    for (const name of ['it\'s "q"', 'two\nlines', '$(reboot); `id`', 'a:b', 'Füße 漢字 🦊', 'n'.repeat(255)])
      expect((await post({ volume_id: volumeId, name }).expect(202)).body.snapshot.name).toBe(name)
    await refusal(400, { volume_id: volumeId, name: 'n'.repeat(10_240) })
  })
})

describe('a snapshot of an attached volume', () => {
  it('needs force below 3.66 and none from there on', async () => {
    covers('createSnapshot', 'wrong state')
    const volumeId = await volumeIn(api)
    const serverId = await serverWith(api, 'member', volumeId)
    expect(await refusal(400, { volume_id: volumeId })).toBe(
      `Invalid volume: Volume ${volumeId} status must be available, but current status is: in-use.`,
    )
    const { body } = await post({ volume_id: volumeId, force: true }).expect(202)
    const { input, id } = await jobOf<CreateSnapshotInput>(api, body.snapshot.id)
    expect(input).toMatchObject({ serverId, quiesce: 'none' })
    expect(await api.db.read.jobs.locks(id)).toContain(`power:${serverId}`)
    await post({ volume_id: volumeId }, '3.66').expect(202)
    await post({ volume_id: volumeId, force: 'yes' }, '3.66').expect(202)
    expect(await refusal(400, { volume_id: volumeId, force: false }, '3.66')).toMatch(
      /^Since microversion 3.66 the 'force' flag is invalid/,
    )
  })

  it('asks for quiet as the server’s image says', async () => {
    const asked = async (properties: Record<string, string>) => {
      const volumeId = await volumeIn(api)
      await serverWith(api, 'member', volumeId, properties)
      const { body } = await post({ volume_id: volumeId, force: true }).expect(202)
      return (await jobOf<CreateSnapshotInput>(api, body.snapshot.id)).input.quiesce
    }
    expect(await asked({ hw_qemu_guest_agent: 'yes', os_require_quiesce: 'yes' })).toBe('required')
    expect(await asked({ hw_qemu_guest_agent: 'yes' })).toBe('best_effort')
    expect(await asked({ hw_qemu_guest_agent: 'no', os_require_quiesce: 'no' })).toBe('none')
  })
})

describe('a snapshot is refused', () => {
  it('in the words of the volume’s state', async () => {
    const of = async (status: VolumeStatus) => refusal(400, { volume_id: await volumeIn(api, status) })
    expect(await of('maintenance')).toBe('Invalid volume: The snapshot cannot be created when the volume is in maintenance mode.')
    expect(await of('error')).toBe('Invalid volume: The snapshot cannot be created when the volume is in error status.')
    for (const status of ['reserved', 'attaching', 'detaching', 'deleting', 'extending', 'uploading'] as const)
      expect(await of(status)).toMatch(new RegExp(`status must be available, but current status is: ${status}.$`))
  })

  it('with the name of the job that holds the volume', async () => {
    const { id } = await requestVolume(api)
    const { body } = await post({ volume_id: id }).expect(400)
    const job = await jobOf(api, id)
    expect(body.badRequest.holder).toEqual({ job_id: job.id, operation: 'create-volume', resource: { type: 'volume', id } })
  })

  it('of a volume that was only declared available', async () => {
    const { id } = await requestVolume(api)
    await setStatus(api, id, 'available')
    expect(await refusal(400, { volume_id: id })).toContain('in error status')
  })

  it('of an unknown, null or foreign volume', async () => {
    covers('createSnapshot', 'foreign')
    const unknown = randomUUID()
    expect(await refusal(404, { volume_id: unknown })).toBe(`Volume ${unknown} could not be found.`)
    expect(await refusal(404, { volume_id: null })).toBe('Volume None could not be found.')
    const foreign = await volumeIn(api, 'available', 'foreign')
    expect(await refusal(404, { volume_id: foreign })).toBe(`Volume ${foreign} could not be found.`)
  })

  it('for what the schema forbids, as Cinder words it', async () => {
    covers('createSnapshot', 'invalid')
    expect(await refusal(400, {})).toBe("Invalid input for field/attribute snapshot. Value: {}. 'volume_id' is a required property")
    expect(await refusal(400, { volume_id: 'nouuid' })).toBe(
      "Invalid input for field/attribute volume_id. Value: nouuid. 'nouuid' is not valid under any of the given schemas",
    )
    const volume_id = randomUUID()
    expect(await refusal(400, { volume_id, extra: 1 })).toContain("Additional properties are not allowed ('extra' was unexpected)")
    expect(await refusal(400, { volume_id, name: 'x'.repeat(256) })).toContain('is too long')
    expect(await refusal(400, { volume_id, force: 'perhaps' })).toContain('is not one of')
    expect(await refusal(400, { volume_id, metadata: { 'a,b': 'c' } })).toContain(
      "'a,b' does not match any of the regexes: '^[a-zA-Z0-9-_:. /]{1,255}$'",
    )
    expect(await refusal(400, { volume_id, metadata: 'x' })).toContain('is not of type')
  })

  it('to a reader, over quota, and then leaves nothing', async () => {
    const volumeId = await volumeIn(api, 'available', 'foreign')
    await post({ volume_id: volumeId }, '3.0', 'reader').expect(403)
    const project = api.projectId('foreign')
    const layers = await api.db.read.layers.count(ANY)
    await api.db.transaction((stores) => stores.quotas.setLimits(project, { snapshots: 0 }))
    const { body } = await post({ volume_id: volumeId }, '3.0', 'foreign').expect(413)
    expect(body.overLimit.message).toBe('SnapshotLimitExceeded: Maximum number of snapshots allowed (0) exceeded')
    await api.db.transaction((stores) => stores.quotas.setLimits(project, { snapshots: -1, gigabytes: 1 }))
    const gigabytes = await post({ volume_id: volumeId }, '3.0', 'foreign').expect(413)
    expect(gigabytes.body.overLimit.message).toMatch(/^VolumeSizeExceedsAvailableQuota: .*quota is 1G/)
    expect(await api.db.read.layers.count(ANY)).toBe(layers)
  })
})
