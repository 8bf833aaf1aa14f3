/** What an image made of a server says about where it came from, in Nova's property names. */
import type { Caller } from '../../domain/caller.js'
import type { Metadata } from '../../domain/metadata.js'
import type { Server } from '../../domain/server.js'
import type { Attachment } from '../../domain/volume.js'

/** Properties of the base image that must not reach its children: they would be lies there. */
const NOT_INHERITED = ['cache_in_nova', 'bittorrent', 'block_device_mapping', 'bdm_v2', 'root_device_name']
const NOT_INHERITED_PREFIXES = ['cinder_encryption_key_', 'img_signature', 'os_glance']
/** Those of an image that was itself a snapshot describe that snapshot. */
const OF_A_SNAPSHOT = [
  'base_image_ref',
  'instance_uuid',
  'image_type',
  'user_id',
  'owner_user_name',
  'owner_project_name',
  'boot_roles',
  'image_state',
  'image_location',
  'owner_id',
]

export function inheritedProperties({ imageProperties }: Pick<Server, 'imageProperties'>): Metadata {
  const inherited = Object.entries(imageProperties).filter(
    ([name]) =>
      !NOT_INHERITED.includes(name) && !OF_A_SNAPSHOT.includes(name) && !NOT_INHERITED_PREFIXES.some((prefix) => name.startsWith(prefix)),
  )
  return Object.fromEntries(inherited)
}

export const baseProperties = (caller: Caller, server: Server): Metadata => ({
  base_image_ref: server.imageId ?? '',
  owner_user_name: caller.userName,
  owner_project_name: caller.projectName,
  boot_roles: caller.roles.join(','),
})

export interface MappedSnapshot {
  readonly snapshotId: string
  readonly sizeGib: number
  readonly attachment: Attachment
}

/** Exactly Nova's keys: other readers of such images look for them. */
export function snapshotMapping(server: Server, snapshots: readonly MappedSnapshot[]): Metadata {
  const mapping = snapshots.map(({ snapshotId, sizeGib, attachment }) => ({
    source_type: 'snapshot',
    destination_type: 'volume',
    snapshot_id: snapshotId,
    volume_id: null,
    image_id: null,
    volume_size: sizeGib,
    volume_type: null,
    boot_index: attachment.bootIndex,
    device_name: attachment.device,
    device_type: 'disk',
    disk_bus: 'virtio',
    guest_format: null,
    no_device: null,
    delete_on_termination: attachment.deleteOnTermination,
    tag: attachment.tag,
    encrypted: null,
    encryption_secret_uuid: null,
    encryption_format: null,
    encryption_options: null,
  }))
  return { root_device_name: server.rootDeviceName, bdm_v2: 'True', block_device_mapping: JSON.stringify(mapping) }
}
