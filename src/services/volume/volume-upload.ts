/**
 * `os-volume_upload_image`: an image of a volume. The same two jobs as a server's image: `capture-image` seals the disk's
 * top under a new overlay, `export-image` copies what was sealed, in the format asked for. The volume shows `uploading`
 * meanwhile. What Cinder leaves to Glance to refuse is refused here in Glance's words, before anything is made.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import { EXPORT_FORMATS, type ExportFormat, type Image } from '../../domain/image.js'
import { captureImage } from '../../domain/operations.js'
import type { VolumeStatus } from '../../domain/volume.js'
import { ANY } from '../../ports/stores.js'
import { tooDeep } from '../chain-depth.js'
import { planLayer } from '../planned-layers.js'
import {
  allowMember,
  describeVolume,
  findVolume,
  GIB,
  heldBy,
  invalidVolume,
  originOf,
  type VolumeDeps,
  type VolumeRecord,
} from './access.js'
import { quiesceOf } from './snapshots.js'

export interface VolumeUpload {
  readonly imageName: string
  readonly containerFormat: string
  readonly diskFormat: string
  readonly visibility: Image['visibility']
  readonly protected: boolean
  /** Of an attached volume too. */
  readonly force: boolean
}

export const createVolumeUpload = (deps: VolumeDeps) => ({
  uploadVolume: async <R>(
    caller: Caller,
    id: string,
    upload: VolumeUpload,
    reply: (record: VolumeRecord, image: Omit<Image, 'seq'>) => R,
  ): Promise<R> => {
    const { answer, hostId } = await deps.db.transaction(async (stores) => {
      const volume = await findVolume(stores, caller, id)
      allowMember(
        caller,
        upload.visibility === 'public' ? 'volume_extension:volume_actions:upload_public' : 'volume_extension:volume_actions:upload_image',
      )
      if (upload.visibility === 'public') requireAdmin(caller)
      const format = formatOf(upload)
      const now = deps.clock.now()
      const disk = await stores.disks.find(ANY, volume.diskId)
      const from: readonly VolumeStatus[] = upload.force ? ['available', 'in-use'] : ['available']
      const patch = { status: 'uploading', previousStatus: volume.status, updatedAt: now } as const
      if (disk?.topLayerId == null || !from.includes(volume.status) || !(await stores.volumes.transition(id, [volume.status], patch)))
        throw invalidVolume(`Volume ${id} status must be ${from.join(' or ')}`, await heldBy(stores, `chain:${volume.diskId}`))
      const deep = await tooDeep(stores, [disk])
      if (deep !== undefined) throw invalidVolume(deep)
      const [imageId, imageLayerId, overlayId] = [randomUUID(), randomUUID(), randomUUID()]
      const over = await stores.quotas.take(caller.projectId, imageId, { images: 1 })
      if (over !== undefined) throw new DomainError('tooLarge', `Project ${caller.projectId} is over a limit for image_count_total.`)
      const forImage = { ...disk, projectId: caller.projectId }
      await planLayer(
        stores,
        forImage,
        { id: imageLayerId, parentId: null, virtualSize: disk.virtualSize, origin: 'image', format: format === 'qcow2' ? 'qcow2' : 'raw' },
        now,
      )
      await planLayer(stores, disk, { id: overlayId, parentId: null, virtualSize: disk.virtualSize }, now)
      const image: Omit<Image, 'seq'> = {
        id: imageId,
        projectId: caller.projectId,
        name: upload.imageName,
        status: 'saving',
        visibility: upload.visibility,
        protected: upload.protected,
        hidden: false,
        diskFormat: upload.diskFormat,
        containerFormat: upload.containerFormat,
        minDisk: volume.sizeGib,
        minRam: 0,
        size: null,
        virtualSize: volume.sizeGib * GIB,
        checksum: null,
        hashAlgo: null,
        hashValue: null,
        properties: inheritedProperties(volume.imageMetadata ?? {}),
        tags: [],
        layerId: null,
        sourceLayerId: null,
        createdAt: now,
        updatedAt: now,
      }
      await stores.images.insert(image)
      await stores.jobs.enqueue(
        captureImage,
        {
          imageId,
          imageLayerId,
          serverId: disk.serverId,
          volumeId: id,
          source: { diskId: disk.id, layerId: overlayId },
          quiesce: await quiesceOf(stores, disk.serverId),
          format,
        },
        { hostId: disk.hostId, origin: originOf(caller) },
      )
      return { answer: reply(await describeVolume(stores, caller, { ...volume, ...patch }), image), hostId: disk.hostId }
    })
    deps.doorbell.ring(hostId)
    return answer
  },
})

function formatOf({ diskFormat, containerFormat }: VolumeUpload): ExportFormat {
  const format = EXPORT_FORMATS.find((one) => one === diskFormat)
  if (format === undefined) throw new DomainError('invalid', `Invalid disk format '${diskFormat}' for image.`)
  if (['aki', 'ari', 'ami'].includes(containerFormat))
    throw new DomainError(
      'invalid',
      "Invalid mix of disk and container formats. When setting a disk or container format to one of 'aki', 'ari', or 'ami', the container and disk formats must match.",
    )
  if (containerFormat !== 'bare') throw new DomainError('invalid', `Invalid container format '${containerFormat}' for image.`)
  return format
}

function requireAdmin(caller: Caller): void {
  if (!caller.isAdmin)
    throw new DomainError('forbidden', "Policy doesn't allow volume_extension:volume_actions:upload_public to be performed.")
}

/** Everything the volume's image said, but the facts of its own record. */
const OWN = new Set(['image_id', 'image_name', 'checksum', 'container_format', 'disk_format', 'min_disk', 'min_ram', 'size'])
const inheritedProperties = (metadata: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(metadata).filter(([key]) => !OWN.has(key)))
