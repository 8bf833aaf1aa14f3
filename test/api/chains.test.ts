/** Chains of disks over HTTP: what is shown of them, what may be moved in them, and how long they may get. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CommitChainInput, CopyDiskInput, PullChainInput } from '../../src/domain/chain-operations.js'
import { formatNode } from '../../src/domain/names.js'
import type { AuditRequest } from '../../src/ports/auditor.js'
import { ANY } from '../../src/ports/stores.js'
import { covers, measuredNothing, openApi, type TestApi } from '../support/api.js'
import { machine, takeSnapshot, V1 } from '../support/server-snapshots.js'
import { GIB, jobOf, setStatus, settleJobs, snapshotOf, V3, volumeIn } from '../support/volumes.js'

let api: TestApi
let asked: AuditRequest | undefined
beforeAll(async () => {
  const observe = async (_: string, request: AuditRequest) => {
    asked = request
    const { layerId = '' } = request.disks[0]?.chain[0] ?? {}
    const files = (request.disks[0]?.chain ?? []).map((layer) => ({ layerId: layer.layerId, exists: true, allocated: 4096 }))
    const node = { node: formatNode(layerId), driver: 'qcow2', file: undefined, backing: undefined, virtualSize: 1, allocated: 1, tags: [] }
    return { live: true, disks: [{ diskId: '', files, headerProblem: null, topNode: null }], nodes: [node], files: [] }
  }
  api = await openApi({ services: { auditor: { observe, measure: async (_, request) => await measuredNothing(request) } } })
})
afterAll(() => api.close())

const member = () => api.as('member')
const diskOf = async (volumeId: string) => {
  const volume = await api.db.read.volumes.find(ANY, volumeId)
  const disk = await api.db.read.disks.find(ANY, volume?.diskId ?? '')
  return { diskId: disk?.id ?? '', chain: (await api.db.read.layers.chain(disk?.topLayerId ?? '')).map((layer) => layer.id) }
}
/** A volume with so many snapshots, newest first, those of them gone that are named. */
async function deep(snapshots: number, gone: readonly number[] = []): Promise<{ volumeId: string; snapshotIds: string[] }> {
  const volumeId = await volumeIn(api)
  const snapshotIds: string[] = []
  for (let made = 0; made < snapshots; made++) snapshotIds.unshift(await snapshotOf(api, volumeId, 'member', { name: `s${made}` }))
  for (const index of gone)
    await api.db.transaction((stores) => stores.snapshots.transition(snapshotIds[index] ?? '', ['available'], { status: 'deleted' }))
  return { volumeId, snapshotIds }
}

describe('a chain', () => {
  it('is shown from its top down, with sizes, and with who keeps each layer', async () => {
    covers('showChain', 'success', 'foreign')
    const { volumeId, snapshotIds } = await deep(2)
    const { diskId, chain } = await diskOf(volumeId)
    const { body } = await api.as('reader').get(`${V1}/volumes/${volumeId}/chain`).expect(200)
    expect(body.chain).toMatchObject({
      disk_id: diskId,
      volume_id: volumeId,
      server_id: null,
      depth: 3,
      jobs: [],
      policy: { from: 'default' },
    })
    expect(body.chain.layers).toMatchObject([
      {
        id: chain[0],
        state: 'top',
        open: true,
        children: 0,
        allocated_bytes: 4096,
        virtual_bytes: GIB,
        pinned_by: [{ kind: 'volume', id: volumeId }],
      },
      {
        id: chain[1],
        state: 'sealed',
        open: false,
        children: 1,
        pool: 'default',
        pinned_by: [{ kind: 'snapshot', id: snapshotIds[0], name: 's1' }],
      },
      { id: chain[2], format: 'qcow2', pinned_by: [{ kind: 'snapshot', id: snapshotIds[1], name: 's0' }], internal_snapshots: [] },
    ])
    expect(asked).toMatchObject({ serverId: diskId, directories: [] })
    await api.as('foreign').get(`${V1}/volumes/${volumeId}/chain`).expect(404)
    await member().get(`${V1}/volumes/no-such/chain`).expect(404)
  })

  it("of a server's root is found by its disk, and says which snapshots are inside its layers", async () => {
    const { serverId, rootDiskId, volumeId } = await machine(api)
    const snapshotId = await takeSnapshot(api, serverId, { kind: 'internal', name: 'inside' })
    const { body } = await member().get(`${V1}/volumes/${rootDiskId}/chain`).expect(200)
    expect(body.chain).toMatchObject({ disk_id: rootDiskId, volume_id: null, server_id: serverId, depth: 1 })
    expect(body.chain.layers[0]).toMatchObject({ internal_snapshots: ['inside'] })
    expect(body.chain.layers[0].pinned_by).toContainEqual({ kind: 'server_snapshot', id: snapshotId, name: 'inside' })
    const { diskId } = await diskOf(volumeId)
    // That one has a name: its volume's.
    await member().get(`${V1}/volumes/${diskId}/chain`).expect(404)
    await api.as('foreign').get(`${V1}/volumes/${rootDiskId}/chain`).expect(404)
  })
})

describe('a pull', () => {
  it('is a job that names the base, with its limit', async () => {
    covers('pullChain', 'success', 'foreign', 'invalid', 'wrong state')
    const { volumeId } = await deep(3)
    const { diskId, chain } = await diskOf(volumeId)
    const base = chain[3]
    const pull = `${V1}/volumes/${volumeId}/chain/pull`
    const { body } = await member().post(pull).send({ base, bytes_per_second: 1000 }).expect(202)
    expect(body.volume_id).toBeNull()
    const { input, id } = await jobOf<PullChainInput>(api, diskId, 'pull-chain')
    expect([id, input]).toEqual([body.job_id, { diskId, baseLayerId: base, bytesPerSecond: 1000 }])
    expect((await member().get(`${V1}/volumes/${volumeId}/chain`).expect(200)).body.chain.jobs).toEqual([id])
    await settleJobs(api)
    await member().post(pull).expect(202)
    expect((await jobOf<PullChainInput>(api, diskId, 'pull-chain')).input).toMatchObject({ baseLayerId: null, bytesPerSecond: 0 })
    await api.as('foreign').post(pull).expect(404)
    await api.as('reader').post(pull).expect(403)
    await member().post(pull).send({ base: 7 }).expect(400)
    await member().post(pull).send({ base: chain[1] }).expect(409)
    await member().post(pull).send({ base: 'no-such' }).expect(409)
    await setStatus(api, volumeId, 'extending')
    expect((await member().post(pull).expect(409)).body.error.message).toContain('is extending')
  })

  it('of a top that holds an internal snapshot is refused, and names it', async () => {
    const { serverId, rootDiskId } = await machine(api)
    await takeSnapshot(api, serverId, { name: 'outside' })
    await takeSnapshot(api, serverId, { kind: 'internal', name: 'inside' })
    const { body } = await member().post(`${V1}/volumes/${rootDiskId}/chain/pull`).expect(409)
    expect(body.error.message).toContain('"inside"')
    expect((await member().post(`${V1}/volumes/${rootDiskId}/chain/copy`).expect(409)).body.error.message).toContain('"inside"')
    await member().post(`${V1}/volumes/${rootDiskId}/chain/copy`).send({ keep: true }).expect(202)
  })
})

describe('a commit', () => {
  it('goes from the top into the layer below it, or from any into any below', async () => {
    covers('commitChain', 'success', 'foreign', 'invalid', 'wrong state')
    const { volumeId } = await deep(3, [0, 2])
    const { diskId, chain } = await diskOf(volumeId)
    const commit = `${V1}/volumes/${volumeId}/chain/commit`
    await member().post(commit).expect(202)
    const [top, below, kept, base] = chain
    expect((await jobOf<CommitChainInput>(api, diskId, 'commit-chain')).input).toEqual({
      ...{ diskId, topLayerId: top, baseLayerId: below, layerIds: [top], diskIds: [diskId], bytesPerSecond: 0 },
    })
    await settleJobs(api)
    await member().post(commit).send({ top: kept, base }).expect(202)
    const { input } = await jobOf<CommitChainInput>(api, diskId, 'commit-chain')
    expect(new Set(input.layerIds)).toEqual(new Set([kept, below, top]))
    await api.as('foreign').post(commit).expect(404)
    await member().post(commit).send({ base: 7 }).expect(400)
    await member().post(commit).send({ top: base }).expect(409)
    await member().post(commit).send({ top: 'no-such' }).expect(409)
    await member().post(commit).send({ top: base, base: top }).expect(409)
  })

  it('into or through a layer that somebody keeps is refused, and says who', async () => {
    const { volumeId, snapshotIds } = await deep(2)
    const { chain } = await diskOf(volumeId)
    const { body } = await member().post(`${V1}/volumes/${volumeId}/chain/commit`).send({ base: chain[2] }).expect(409)
    expect(body.error.pinned_by).toEqual([{ kind: 'snapshot', id: snapshotIds[0], name: 's1' }])
  })
})

describe('a copy', () => {
  it('plans a layer in the pool and format that were asked for, to which the disk moves', async () => {
    covers('copyDisk', 'success', 'foreign', 'invalid', 'wrong state')
    const { volumeId } = await deep(1)
    const { diskId } = await diskOf(volumeId)
    const poolId = '5a1c9b52-5e0e-4f4d-9d4c-3e6d5b3c2a77'
    const host = (await api.db.read.disks.find(ANY, diskId))?.hostId ?? ''
    const pool = { id: poolId, hostId: host, name: 'fast', path: '/nowhere', isDefault: false, createdAt: 1 }
    await api.db.transaction((stores) => stores.pools.insert(pool))
    const copy = `${V1}/volumes/${volumeId}/chain/copy`
    await member().post(copy).send({ pool: 'fast', format: 'raw' }).expect(202)
    const { input } = await jobOf<CopyDiskInput>(api, diskId, 'copy-disk')
    expect(input).toMatchObject({ end: 'pivot', copyDiskId: null, copyVolumeId: null })
    expect(await api.db.read.layers.find(ANY, input.layerId)).toMatchObject({ state: 'planned', format: 'raw', poolId, parentId: null })
    expect(await api.db.read.artefacts.find(ANY, `layer:${input.layerId}`)).toMatchObject({ location: `/nowhere/${input.layerId}.raw` })
    await api.as('foreign').post(copy).expect(404)
    await member().post(copy).send({ pool: 'none' }).expect(400)
    await member().post(copy).send({ format: 'vmdk' }).expect(400)
    for (const own of [{ name: 'twin' }, { description: 'of another' }]) await member().post(copy).send(own).expect(400)
    await setStatus(api, volumeId, 'error')
    await member().post(copy).expect(409)
  })

  it('that is kept is a volume at once, and counts as one', async () => {
    const { volumeId } = await deep(0)
    const before = await api.db.read.quotas.usage(api.projectId('member'))
    const sent = { keep: true, name: 'twin', description: 'of another' }
    const { body } = await member().post(`${V1}/volumes/${volumeId}/chain/copy`).send(sent).expect(202)
    const { volume } = (await member().get(`${V3}/volumes/${body.volume_id}`).expect(200)).body
    expect(volume).toMatchObject({ name: 'twin', description: 'of another', status: 'creating', size: 1, source_volid: volumeId })
    const after = await api.db.read.quotas.usage(api.projectId('member'))
    expect(after['volumes']).toBe((before['volumes'] ?? 0) + 1)
    const { input } = await jobOf<CopyDiskInput>(api, (await diskOf(volumeId)).diskId, 'copy-disk')
    expect(input).toMatchObject({ end: 'keep', copyVolumeId: body.volume_id, copyDiskId: (await diskOf(body.volume_id)).diskId })
  })
})

describe('the limit of a job', () => {
  it('may be changed as long as the job is not over', async () => {
    covers('limitJob', 'success', 'foreign', 'invalid', 'wrong state')
    const { volumeId } = await deep(1)
    const { body } = await member().post(`${V1}/volumes/${volumeId}/chain/pull`).expect(202)
    const speed = `${V1}/jobs/${body.job_id}/speed`
    expect((await member().post(speed).send({ bytes_per_second: 5000 }).expect(202)).body.job.id).toBe(body.job_id)
    expect((await api.db.read.jobs.find(ANY, body.job_id))?.input).toMatchObject({ bytesPerSecond: 5000, baseLayerId: null })
    await api.as('foreign').post(speed).send({ bytes_per_second: 1 }).expect(404)
    await member().post(speed).send({ bytes_per_second: -1 }).expect(400)
    await settleJobs(api)
    await member().post(speed).send({ bytes_per_second: 1 }).expect(409)
    const other = await jobOf(api, volumeId, 'create-volume')
    await member().post(`${V1}/jobs/${other.id}/speed`).send({ bytes_per_second: 1 }).expect(409)
  })
})
