/**
 * createImage. Of a server with its own root disk: a queued image record with what Nova hands on, and a job that seals
 * the root under a new overlay and copies the sealed chain. Of a volume-backed server: a snapshot of every volume, all
 * taken in one transaction of the guest's disks, and an image that holds no bytes but points at them.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import type { Disk } from '../../domain/disk.js'
import { DomainError } from '../../domain/errors.js'
import type { Image } from '../../domain/image.js'
import type { Metadata } from '../../domain/metadata.js'
import { captureImage, createSnapshot } from '../../domain/operations.js'
import type { Server } from '../../domain/server.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { tooDeep } from '../chain-depth.js'
import { plannedLayer } from '../planned-layers.js'
import { takeSnapshotQuota } from '../quota.js'
import { strategyFor } from '../snapshot-strategy.js'
import { quiesceOf } from '../volume/snapshots.js'
import { baseProperties, inheritedProperties, type MappedSnapshot, snapshotMapping } from './create-image-properties.js'
import {
  type Allowed,
  accept,
  attachmentsOf,
  type ComputeDeps,
  enqueueOptions,
  MAX_METADATA_ITEMS,
  moveServer,
  recordAction,
  requireServer,
  requireState,
  requireWriter,
} from './servers-common.js'

export interface CreateImageRequest {
  readonly name: string
  readonly metadata: Metadata
}

const ALLOWED: Allowed = { vmState: ['active', 'stopped', 'paused', 'suspended'] }

export type CreateImageService = ReturnType<typeof createCreateImageService>

export function createCreateImageService(deps: ComputeDeps) {
  return {
    async createImage<R>(caller: Caller, serverId: string, wanted: CreateImageRequest, reply: (imageId: string) => R): Promise<R> {
      return accept(deps, undefined, async (stores, now) => {
        const server = await requireServer(stores, caller, serverId)
        requireWriter(caller, 'servers:create_image')
        if (Object.keys(wanted.metadata).length > MAX_METADATA_ITEMS) throw new DomainError('overQuota', 'Image metadata limit exceeded')
        await requireState(stores, server, 'createImage', ALLOWED)
        const deep = await tooDeep(stores, await stores.disks.list(ANY, { where: { serverId: { is: serverId } } }))
        if (deep !== undefined) throw new DomainError('invalidState', deep)
        const [root] = await stores.disks.list(ANY, { where: { serverId: { is: serverId }, kind: { is: 'root' } }, limit: 1 })
        const request = { caller, server, wanted, now, image: await draftImage(stores, caller, server, wanted, now) }
        await (root === undefined ? ofVolumes(stores, request) : ofRoot(stores, request, root))
        await recordAction(stores, caller, server, 'createImage', { now })
        return reply(request.image.id)
      })
    },
  }
}

interface Request {
  readonly caller: Caller
  readonly server: Server
  readonly wanted: CreateImageRequest
  readonly now: number
  readonly image: Omit<Image, 'seq'>
}

async function draftImage(
  stores: Stores,
  caller: Caller,
  server: Server,
  wanted: CreateImageRequest,
  now: number,
): Promise<Omit<Image, 'seq'>> {
  const base = server.imageId === null ? undefined : await stores.images.find(ANY, server.imageId)
  const image: Omit<Image, 'seq'> = {
    id: randomUUID(),
    projectId: server.projectId,
    name: wanted.name,
    status: 'queued',
    visibility: 'private',
    protected: false,
    hidden: false,
    diskFormat: null,
    containerFormat: null,
    minDisk: Math.max(base?.minDisk ?? 0, server.flavor.diskGib),
    minRam: base?.minRam ?? 0,
    size: null,
    virtualSize: null,
    checksum: null,
    hashAlgo: null,
    hashValue: null,
    properties: {},
    tags: [],
    layerId: null,
    sourceLayerId: null,
    createdAt: now,
    updatedAt: now,
  }
  const over = await stores.quotas.take(server.projectId, image.id, { images: 1 })
  if (over !== undefined) throw new DomainError('overQuota', 'Quota exceeded for resources: images')
  return { ...image, properties: { ...inheritedProperties(server), ...baseProperties(caller, server), ...wanted.metadata } }
}

/** The record first, then the task, as Nova; one job at a time and server, so a second request finds the task. */
async function ofRoot(stores: Stores, { caller, server, wanted, now, image }: Request, root: Disk): Promise<void> {
  await moveServer(stores, server, 'createImage', ALLOWED, { taskState: 'image_snapshot_pending', updatedAt: now })
  const properties = { ...image.properties, instance_uuid: server.id, image_type: 'snapshot', user_id: caller.userId, ...wanted.metadata }
  await stores.images.insert({ ...image, properties })
  const overlay = plannedLayer(root, randomUUID(), null, root.virtualSize, now)
  const bytes = { ...plannedLayer(root, randomUUID(), null, root.virtualSize, now), origin: 'image' as const }
  await stores.layers.insert(overlay)
  await stores.layers.insert(bytes)
  await stores.jobs.enqueue(
    captureImage,
    {
      imageId: image.id,
      imageLayerId: bytes.id,
      serverId: server.id,
      volumeId: null,
      source: { diskId: root.id, layerId: overlay.id },
      quiesce: await quiesceOf(stores, server.id),
    },
    enqueueOptions(caller, server),
  )
}

const disksOf = async (stores: Stores, attachments: readonly { diskId: string }[]): Promise<Disk[]> =>
  await stores.disks.list(ANY, { where: { id: { in: attachments.map((one) => one.diskId) } } })

/** The task stays empty, as Nova: snapshots are the volumes' affair. */
async function ofVolumes(stores: Stores, { caller, server, wanted, now, image }: Request): Promise<void> {
  const attachments = (await attachmentsOf(stores, server.id)).filter((attachment) => attachment.status === 'attached')
  const strategy = await strategyFor(stores, await disksOf(stores, attachments), server.id)
  const mapped: MappedSnapshot[] = []
  const snapshots: { snapshotId: string; diskId: string }[] = []
  const switches: { diskId: string; layerId: string }[] = []
  for (const attachment of attachments) {
    const volume = await stores.volumes.find(ANY, attachment.volumeId)
    const disk = await stores.disks.find(ANY, attachment.diskId)
    if (volume === undefined || disk === undefined) continue
    const snapshotId = randomUUID()
    const type = await stores.volumeTypes.find(ANY, volume.volumeTypeId)
    await takeSnapshotQuota(stores, server.projectId, snapshotId, type?.name ?? '', volume.sizeGib).catch((error: unknown) => {
      if (!(error instanceof DomainError) || error.kind !== 'overQuota') throw error
      throw new DomainError('overQuota', 'Quota exceeded for resources: snapshots', { cause: error })
    })
    await stores.snapshots.insert({
      id: snapshotId,
      projectId: volume.projectId,
      userId: caller.userId,
      volumeId: volume.id,
      diskId: disk.id,
      serverId: server.id,
      layerId: null,
      serverSnapshotId: null,
      parentId: null,
      strategy,
      name: `snapshot for ${wanted.name}`,
      description: volume.description,
      status: 'creating',
      progress: '0%',
      sizeGib: volume.sizeGib,
      metadata: {},
      report: null,
      createdAt: now,
      updatedAt: null,
    })
    const overlay = plannedLayer(disk, randomUUID(), null, disk.virtualSize, now)
    await stores.layers.insert(overlay)
    switches.push({ diskId: disk.id, layerId: overlay.id })
    snapshots.push({ snapshotId, diskId: disk.id })
    mapped.push({ snapshotId, sizeGib: volume.sizeGib, attachment })
  }
  if (switches.length === 0)
    throw new DomainError('invalidState', `Cannot 'createImage' instance ${server.id} while its volumes are not attached`)
  const properties = { ...image.properties, ...snapshotMapping(server, mapped), ...wanted.metadata }
  await stores.images.insert({ ...image, properties })
  const input = { serverId: server.id, switches, snapshots, strategy, quiesce: await quiesceOf(stores, server.id), imageId: image.id }
  await stores.jobs.enqueue(createSnapshot, input, enqueueOptions(caller, server))
}
