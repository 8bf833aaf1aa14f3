/** Volumes as Cinder shows them: briefly, as just accepted, and whole. */
import type { VolumeRecord } from '../../../src/services/volume/access.js'
import type { VolumeUpload } from '../../../src/services/volume/volume-upload.js'
import type { Version } from '../../versions.js'
import { type Place, selfLinks, volumeTime, volumeTimeOrNull } from './common.js'
import { volumeTypeRowView } from './type.js'

export interface VolumeLens {
  readonly version: Version
  readonly isAdmin: boolean
  readonly place: Place
}

export const volumeBriefView = ({ volume }: VolumeRecord, { place }: VolumeLens) => ({
  id: volume.id,
  name: volume.name,
  links: selfLinks(place, `volumes/${volume.id}`),
})

export function acceptedVolumeView({ volume, type, attachments }: VolumeRecord, { version, isAdmin, place }: VolumeLens) {
  return {
    id: volume.id,
    status: volume.status,
    size: volume.sizeGib,
    availability_zone: volume.availabilityZone,
    created_at: volumeTime(volume.createdAt),
    updated_at: volumeTimeOrNull(volume.updatedAt),
    name: volume.name,
    description: volume.description,
    volume_type: type?.name ?? null,
    snapshot_id: volume.snapshotId,
    source_volid: volume.sourceVolumeId,
    metadata: volume.readonly === null ? volume.metadata : { ...volume.metadata, readonly: volume.readonly ? 'True' : 'False' },
    links: selfLinks(place, `volumes/${volume.id}`),
    user_id: volume.userId,
    bootable: volume.bootable ? ('true' as const) : ('false' as const),
    encrypted: false,
    replication_status: null,
    consistencygroup_id: null,
    multiattach: false,
    attachments: attachments
      .filter((attachment) => attachment.status !== 'attaching')
      .map((attachment) => ({
        server_id: attachment.serverId,
        attachment_id: attachment.id,
        attached_at: volumeTimeOrNull(attachment.attachedAt),
        host_name: null,
        volume_id: volume.id,
        device: attachment.device,
        id: volume.id,
      })),
    ...(isAdmin ? { migration_status: null } : {}),
    ...(version.atLeast(13) ? { group_id: null } : {}),
    ...(version.atLeast(21) && isAdmin ? { provider_id: null } : {}),
    ...(version.atLeast(48) ? { shared_targets: false, service_uuid: null } : {}),
    ...(version.atLeast(61) && isAdmin ? { cluster_name: null } : {}),
    ...(version.atLeast(63) ? { volume_type_id: volume.volumeTypeId } : {}),
    ...(version.atLeast(65) ? { consumes_quota: true } : {}),
  }
}

export function volumeView(record: VolumeRecord, lens: VolumeLens) {
  const { volume } = record
  return {
    ...acceptedVolumeView(record, lens),
    'os-vol-tenant-attr:tenant_id': volume.projectId,
    ...(volume.imageMetadata === null || Object.keys(volume.imageMetadata).length === 0
      ? {}
      : { volume_image_metadata: volume.imageMetadata }),
    ...(lens.isAdmin
      ? {
          'os-vol-host-attr:host': record.location,
          'os-vol-mig-status-attr:migstat': null,
          'os-vol-mig-status-attr:name_id': null,
        }
      : {}),
  }
}

export const uploadView = (
  { volume, type }: VolumeRecord,
  imageId: string,
  upload: Pick<VolumeUpload, 'containerFormat' | 'diskFormat' | 'imageName' | 'protected' | 'visibility'>,
  version: Version,
) => ({
  id: volume.id,
  updated_at: volumeTimeOrNull(volume.updatedAt),
  status: volume.status,
  display_description: volume.description,
  size: volume.sizeGib,
  volume_type: type === undefined ? null : volumeTypeRowView(type),
  image_id: imageId,
  container_format: upload.containerFormat,
  disk_format: upload.diskFormat,
  image_name: upload.imageName,
  ...(version.atLeast(1) ? { protected: upload.protected, visibility: upload.visibility } : {}),
})
