/** The column lists of what holds bytes: chains, volumes, snapshots, images. */
import type { Disk, Layer } from '../../src/domain/disk.js'
import type { Image, ImageMember } from '../../src/domain/image.js'
import type { Snapshot } from '../../src/domain/snapshot.js'
import type { Attachment, DefaultVolumeType, Volume, VolumeTransfer, VolumeType, VolumeTypeAccess } from '../../src/domain/volume.js'
import { defineTable, OWN_PROJECT } from './table.js'

export const disks = defineTable<Disk>({
  name: 'disks',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,seq'],
  fields: {
    id: 'text',
    hostId: 'text',
    poolId: 'text',
    projectId: 'text',
    kind: 'text',
    serverId: 'text?',
    topLayerId: 'text?',
    virtualSize: 'int',
    createdAt: 'int',
  },
})

export const layers = defineTable<Layer>({
  name: 'layers',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,seq'],
  fields: {
    id: 'text',
    seq: 'int',
    poolId: 'text',
    projectId: 'text',
    parentId: 'text?',
    fileName: 'text',
    format: 'text',
    virtualSize: 'int',
    state: 'text',
    origin: 'text',
    createdAt: 'int',
  },
})

export const volumes = defineTable<Volume>({
  name: 'volumes',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,status,seq', 'project_id,seq', 'project_id,created_at'],
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    userId: 'text',
    diskId: 'text',
    name: 'text?',
    description: 'text?',
    status: 'text',
    previousStatus: 'text?',
    sizeGib: 'int',
    bootable: 'bool',
    readonly: 'bool?',
    metadata: 'json',
    imageMetadata: 'json?',
    volumeTypeId: 'text',
    availabilityZone: 'text',
    snapshotId: 'text?',
    sourceVolumeId: 'text?',
    imageId: 'text?',
    createdAt: 'int',
    updatedAt: 'int?',
  },
})

export const attachments = defineTable<Attachment>({
  name: 'attachments',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,seq'],
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    volumeId: 'text',
    diskId: 'text',
    serverId: 'text',
    device: 'text',
    status: 'text',
    bootIndex: 'int?',
    deleteOnTermination: 'bool',
    tag: 'text?',
    attachedAt: 'int?',
    createdAt: 'int',
  },
})

export const volumeTypes = defineTable<VolumeType>({
  name: 'volume_types',
  fields: { id: 'text', seq: 'int', name: 'text', description: 'text?', isPublic: 'bool', extraSpecs: 'json', createdAt: 'int' },
})

export const volumeTypeAccess = defineTable<VolumeTypeAccess>({
  name: 'volume_type_access',
  tenant: OWN_PROJECT,
  fields: { id: 'text', seq: 'int', volumeTypeId: 'text', projectId: 'text', createdAt: 'int' },
})

export const defaultVolumeTypes = defineTable<DefaultVolumeType>({
  name: 'default_volume_types',
  tenant: '`id` = ?',
  fields: { id: 'text', volumeTypeId: 'text', createdAt: 'int' },
})

export const volumeTransfers = defineTable<VolumeTransfer>({
  name: 'volume_transfers',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,seq'],
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    volumeId: 'text',
    name: 'text?',
    salt: 'text',
    keyHash: 'text',
    noSnapshots: 'bool',
    createdAt: 'int',
  },
})

export const snapshots = defineTable<Snapshot>({
  name: 'snapshots',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,volume_id,seq', 'project_id,status,seq', 'project_id,seq', 'project_id,created_at'],
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    userId: 'text',
    volumeId: 'text?',
    diskId: 'text',
    serverId: 'text?',
    layerId: 'text?',
    serverSnapshotId: 'text?',
    parentId: 'text?',
    strategy: 'text',
    name: 'text?',
    description: 'text?',
    status: 'text',
    progress: 'text',
    sizeGib: 'int',
    metadata: 'json',
    report: 'json?',
    createdAt: 'int',
    updatedAt: 'int?',
  },
})

export const images = defineTable<Image>({
  name: 'images',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,seq', 'project_id,created_at'],
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    name: 'text?',
    status: 'text',
    visibility: 'text',
    protected: 'bool',
    hidden: 'bool',
    diskFormat: 'text?',
    containerFormat: 'text?',
    minDisk: 'int',
    minRam: 'int',
    size: 'int?',
    virtualSize: 'int?',
    checksum: 'text?',
    hashAlgo: 'text?',
    hashValue: 'text?',
    properties: 'json',
    tags: 'json',
    layerId: 'text?',
    sourceLayerId: 'text?',
    createdAt: 'int',
    updatedAt: 'int',
  },
})

export const imageMembers = defineTable<ImageMember>({
  name: 'image_members',
  // The two who may know of it: whom the image was shared with, and whose image it is.
  tenant: '`member_id` = ? OR `image_id` IN (SELECT `id` FROM `images` WHERE `project_id` = ?)',
  fields: { id: 'text', imageId: 'text', memberId: 'text', status: 'text', createdAt: 'int', updatedAt: 'int' },
})
