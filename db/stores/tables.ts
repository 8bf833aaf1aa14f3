/** The column lists: every domain type beside the kind of each of its fields, and what a project's scope means for it. */
import type { Disk, Layer } from '../../src/domain/disk.js'
import type { Host, Pool, Worker } from '../../src/domain/host.js'
import type { Project, Role, RoleAssignment, Token, User } from '../../src/domain/identity.js'
import type { Image, ImageMember } from '../../src/domain/image.js'
import type { Job } from '../../src/domain/job.js'
import type { Artefact, Event, IdempotencyKey, InstanceAction, Message } from '../../src/domain/ledger.js'
import type { Flavor, Server } from '../../src/domain/server.js'
import type { Snapshot } from '../../src/domain/snapshot.js'
import type { Attachment, Volume, VolumeType } from '../../src/domain/volume.js'
import { defineTable, OWN_PROJECT } from './table.js'

export const hosts = defineTable<Host>({
  name: 'hosts',
  fields: {
    id: 'text',
    state: 'text',
    address: 'text',
    bootId: 'text',
    capabilities: 'json',
    heartbeatAt: 'int',
    createdAt: 'int',
  },
})

export const workers = defineTable<Worker>({
  name: 'workers',
  fields: { id: 'text', hostId: 'text', pid: 'int', startTime: 'int', heartbeatAt: 'int', createdAt: 'int' },
})

export const pools = defineTable<Pool>({
  name: 'pools',
  fields: { id: 'text', hostId: 'text', name: 'text', path: 'text', isDefault: 'bool', createdAt: 'int' },
})

export const flavors = defineTable<Flavor>({
  name: 'flavors',
  fields: {
    id: 'text',
    seq: 'int',
    name: 'text',
    vcpus: 'int',
    ramMib: 'int',
    diskGib: 'int',
    ephemeralGib: 'int',
    swapMib: 'int',
    isPublic: 'bool',
    description: 'text',
    extraSpecs: 'json',
  },
})

export const servers = defineTable<Server>({
  name: 'servers',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    userId: 'text',
    hostId: 'text',
    name: 'text',
    description: 'text',
    vmState: 'text',
    taskState: 'text',
    powerState: 'int',
    flavor: 'json',
    imageId: 'text',
    kernelLayerId: 'text',
    ramdiskLayerId: 'text',
    imageProperties: 'json',
    rootDeviceName: 'text',
    metadata: 'json',
    tags: 'json',
    availabilityZone: 'text',
    reservationId: 'text',
    accessIpV4: 'text',
    accessIpV6: 'text',
    userData: 'text',
    keyName: 'text',
    locked: 'bool',
    fault: 'json',
    createdAt: 'int',
    updatedAt: 'int',
    launchedAt: 'int',
    terminatedAt: 'int',
    deletedAt: 'int',
  },
})

export const disks = defineTable<Disk>({
  name: 'disks',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    hostId: 'text',
    poolId: 'text',
    projectId: 'text',
    kind: 'text',
    serverId: 'text',
    topLayerId: 'text',
    virtualSize: 'int',
    createdAt: 'int',
  },
})

export const layers = defineTable<Layer>({
  name: 'layers',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    seq: 'int',
    poolId: 'text',
    projectId: 'text',
    parentId: 'text',
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
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    userId: 'text',
    diskId: 'text',
    name: 'text',
    description: 'text',
    status: 'text',
    previousStatus: 'text',
    sizeGib: 'int',
    bootable: 'bool',
    readonly: 'bool',
    metadata: 'json',
    imageMetadata: 'json',
    volumeTypeId: 'text',
    availabilityZone: 'text',
    snapshotId: 'text',
    sourceVolumeId: 'text',
    imageId: 'text',
    createdAt: 'int',
    updatedAt: 'int',
  },
})

export const attachments = defineTable<Attachment>({
  name: 'attachments',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    volumeId: 'text',
    diskId: 'text',
    serverId: 'text',
    device: 'text',
    status: 'text',
    bootIndex: 'int',
    deleteOnTermination: 'bool',
    tag: 'text',
    attachedAt: 'int',
    createdAt: 'int',
  },
})

export const volumeTypes = defineTable<VolumeType>({
  name: 'volume_types',
  fields: { id: 'text', seq: 'int', name: 'text', description: 'text', isPublic: 'bool', extraSpecs: 'json', createdAt: 'int' },
})

export const snapshots = defineTable<Snapshot>({
  name: 'snapshots',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    userId: 'text',
    volumeId: 'text',
    diskId: 'text',
    serverId: 'text',
    layerId: 'text',
    serverSnapshotId: 'text',
    parentId: 'text',
    strategy: 'text',
    name: 'text',
    description: 'text',
    status: 'text',
    progress: 'text',
    sizeGib: 'int',
    metadata: 'json',
    report: 'json',
    createdAt: 'int',
    updatedAt: 'int',
  },
})

export const images = defineTable<Image>({
  name: 'images',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    name: 'text',
    status: 'text',
    visibility: 'text',
    protected: 'bool',
    hidden: 'bool',
    diskFormat: 'text',
    containerFormat: 'text',
    minDisk: 'int',
    minRam: 'int',
    size: 'int',
    virtualSize: 'int',
    checksum: 'text',
    hashAlgo: 'text',
    hashValue: 'text',
    properties: 'json',
    tags: 'json',
    layerId: 'text',
    sourceLayerId: 'text',
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

export const projects = defineTable<Project>({
  name: 'projects',
  tenant: '`id` = ?',
  fields: { id: 'text', seq: 'int', name: 'text', domainId: 'text', description: 'text', enabled: 'bool', createdAt: 'int' },
})

export const users = defineTable<User>({
  name: 'users',
  fields: {
    id: 'text',
    seq: 'int',
    name: 'text',
    domainId: 'text',
    email: 'text',
    enabled: 'bool',
    defaultProjectId: 'text',
    passwordHash: 'text',
    createdAt: 'int',
  },
})

export const roles = defineTable<Role>({ name: 'roles', fields: { id: 'text', seq: 'int', name: 'text' } })

export const roleAssignments = defineTable<RoleAssignment>({
  name: 'role_assignments',
  tenant: OWN_PROJECT,
  fields: { id: 'text', userId: 'text', projectId: 'text', roleId: 'text' },
})

export const tokens = defineTable<Token>({
  name: 'tokens',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    userId: 'text',
    projectId: 'text',
    methods: 'json',
    auditIds: 'json',
    issuedAt: 'int',
    expiresAt: 'int',
  },
})

export const messages = defineTable<Message>({
  name: 'messages',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    requestId: 'text',
    resourceType: 'text',
    resourceId: 'text',
    eventId: 'text',
    level: 'text',
    userMessage: 'text',
    createdAt: 'int',
    expiresAt: 'int',
  },
})

export const instanceActions = defineTable<InstanceAction>({
  name: 'instance_actions',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    seq: 'int',
    serverId: 'text',
    projectId: 'text',
    userId: 'text',
    action: 'text',
    requestId: 'text',
    message: 'text',
    startedAt: 'int',
    updatedAt: 'int',
    finishedAt: 'int',
  },
})

export const events = defineTable<Event>({
  name: 'events',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    resourceType: 'text',
    resourceId: 'text',
    kind: 'text',
    payload: 'json',
    createdAt: 'int',
  },
})

export const artefacts = defineTable<Artefact>({
  name: 'artefacts',
  fields: { id: 'text', kind: 'text', hostId: 'text', location: 'text', ownerType: 'text', ownerId: 'text', createdAt: 'int' },
})

export const idempotencyKeys = defineTable<IdempotencyKey>({
  name: 'idempotency_keys',
  tenant: OWN_PROJECT,
  fields: { id: 'text', projectId: 'text', key: 'text', requestHash: 'text', status: 'int', response: 'text', createdAt: 'int' },
})

export const jobs = defineTable<Job>({
  name: 'jobs',
  tenant: OWN_PROJECT,
  fields: {
    id: 'text',
    seq: 'int',
    operation: 'text',
    version: 'int',
    input: 'json',
    hostId: 'text',
    projectId: 'text',
    userId: 'text',
    requestId: 'text',
    resourceType: 'text',
    resourceId: 'text',
    preemptible: 'bool',
    state: 'text',
    leaseOwner: 'text',
    leaseToken: 'int',
    leaseExpiresAt: 'int',
    attempts: 'int',
    notBefore: 'int',
    cancelRequested: 'bool',
    yieldRequested: 'bool',
    progress: 'json',
    error: 'json',
    createdAt: 'int',
    startedAt: 'int',
    endedAt: 'int',
  },
})
