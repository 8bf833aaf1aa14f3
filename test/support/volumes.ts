/**
 * Volumes, snapshots, images and servers in the states a test needs. Creation goes through the API; what the worker
 * would do afterwards is done to the rows as it would do it (layers, tops, statuses), and its jobs are settled.
 */
import { randomUUID } from 'node:crypto'
import type { Image } from '../../src/domain/image.js'
import type { Job } from '../../src/domain/job.js'
import type { CloneVolumeInput, CreateSnapshotInput, CreateVolumeInput } from '../../src/domain/operations.js'
import type { VolumeStatus } from '../../src/domain/volume.js'
import { ANY } from '../../src/ports/stores.js'
import { HOST_ID, type Role, type TestApi } from './api.js'
import { imageRow, layerRow, serverRow } from './rows.js'

export const GIB = 1024 ** 3
export const V3 = '/volume/v3'
const MINUTE = 60_000_000

/** The newest job about a resource, with its input. */
export async function jobOf<I extends object>(api: TestApi, resourceId: string, operation?: string): Promise<Job & { input: I }> {
  const jobs = await api.db.read.jobs.list(ANY, { where: { resourceId: { is: resourceId } } })
  const found = jobs.filter((job) => operation === undefined || job.operation === operation)[0]
  if (found === undefined) throw new Error(`no ${operation ?? 'job'} about ${resourceId}`)
  return found as Job & { input: I }
}

/** Every job that may run is over. */
export async function settleJobs(api: TestApi): Promise<void> {
  const now = Date.now() * 1000
  for (;;) {
    const claim = await api.db.transaction((stores) =>
      stores.jobs.claim({ hostId: HOST_ID, workerId: 'test', now: now + MINUTE, leaseFor: MINUTE, except: [] }),
    )
    if (claim === undefined) return
    await api.db.transaction((stores) => stores.jobs.settle(claim.lease, 'done', null))
  }
}

export async function requestVolume(api: TestApi, role: Role = 'member', volume: object = { size: 1 }): Promise<{ id: string }> {
  const { body } = await api.as(role).post(`${V3}/volumes`).send({ volume }).expect(202)
  return body.volume
}

/** As the worker leaves it. */
export async function volumeIn(
  api: TestApi,
  status: VolumeStatus = 'available',
  role: Role = 'member',
  volume: object = { size: 1 },
): Promise<string> {
  const { id } = await requestVolume(api, role, volume)
  const { input, operation } = await jobOf<CreateVolumeInput & CloneVolumeInput>(api, id)
  const layerId = operation === 'clone-volume' ? input.layerId : input.layer.layerId
  const diskId = operation === 'clone-volume' ? input.diskId : input.layer.diskId
  await settleJobs(api)
  await api.db.transaction(async (stores) => {
    await stores.layers.transition(layerId, ['planned'], { state: 'top' })
    await stores.disks.update(diskId, { topLayerId: layerId })
    await stores.volumes.transition(id, ['creating'], { status })
  })
  return id
}

export async function setStatus(api: TestApi, volumeId: string, status: VolumeStatus): Promise<void> {
  await api.db.transaction(async (stores) => {
    const volume = await stores.volumes.find(ANY, volumeId)
    await stores.volumes.transition(volumeId, [volume?.status ?? 'error'], { status })
  })
}

export async function snapshotOf(api: TestApi, volumeId: string, role: Role = 'member', snapshot: object = {}): Promise<string> {
  const sent = { volume_id: volumeId, force: true, ...snapshot }
  const { body } = await api.as(role).post(`${V3}/snapshots`).send({ snapshot: sent }).expect(202)
  const { id } = body.snapshot
  const { input } = await jobOf<CreateSnapshotInput>(api, id)
  await settleJobs(api)
  await api.db.transaction(async (stores) => {
    for (const { diskId, layerId } of input.switches) {
      const top = (await stores.disks.find(ANY, diskId))?.topLayerId ?? null
      if (top !== null) await stores.layers.transition(top, ['top'], { state: 'sealed' })
      await stores.layers.transition(layerId, ['planned'], { state: 'top', parentId: top })
      await stores.disks.update(diskId, { topLayerId: layerId })
      await stores.snapshots.transition(id, ['creating'], { status: 'available', progress: '100%', layerId: top })
    }
  })
  return id
}

export async function imageWith(api: TestApi, role: Role, changes: Partial<Image> = {}): Promise<Image> {
  const [id, layerId] = [randomUUID(), randomUUID()]
  const now = Date.now() * 1000
  const projectId = api.projectId(role)
  const image = imageRow({
    id,
    projectId,
    name: 'cirros',
    visibility: 'private',
    size: 1000,
    virtualSize: GIB,
    checksum: 'abc',
    hashAlgo: 'sha512',
    hashValue: 'def',
    properties: { os_distro: 'tiny' },
    layerId,
    createdAt: now,
    updatedAt: now,
    ...changes,
  })
  await api.db.transaction(async (stores) => {
    const virtualSize = image.virtualSize ?? GIB
    await stores.layers.insert(layerRow({ id: layerId, poolId: api.poolId, projectId, virtualSize, origin: 'image', createdAt: now }))
    await stores.images.insert(image)
  })
  return { ...image, seq: 0 }
}

/** A running server; `volumeId` is plugged in. */
export async function serverWith(
  api: TestApi,
  role: Role,
  volumeId?: string,
  imageProperties: Record<string, string> = {},
): Promise<string> {
  const id = randomUUID()
  const now = Date.now() * 1000
  const { projectId, userId } = api.caller(role)
  const server = serverRow({
    id,
    projectId,
    userId,
    hostId: HOST_ID,
    name: 'vm',
    imageId: null,
    imageProperties,
    tags: [],
    reservationId: 'r-12345678',
    accessIpV6: '',
    fault: null,
    createdAt: now,
    updatedAt: now,
    launchedAt: now,
  })
  await api.db.transaction(async (stores) => {
    await stores.servers.insert(server)
    if (volumeId === undefined) return
    const diskId = (await stores.volumes.find(ANY, volumeId))?.diskId ?? ''
    await stores.disks.update(diskId, { serverId: id })
    await stores.volumes.transition(volumeId, ['available'], { status: 'in-use' })
    await stores.attachments.insert({
      id: randomUUID(),
      projectId,
      volumeId,
      diskId,
      serverId: id,
      device: '/dev/vdb',
      status: 'attached',
      bootIndex: null,
      deleteOnTermination: false,
      tag: null,
      attachedAt: now,
      createdAt: now,
    })
  })
  return id
}
