/** The column lists: every domain type beside the kind of each of its fields, and what a project's scope means for it. */
import type { Host, Pool, Worker } from '../../src/domain/host.js'
import type { Project, Role, RoleAssignment, Token, User } from '../../src/domain/identity.js'
import type { Job } from '../../src/domain/job.js'
import type { Artefact, Event, IdempotencyKey, InstanceAction, Message } from '../../src/domain/ledger.js'
import type { Flavor, Keypair, Server } from '../../src/domain/server.js'
import { defineTable, OWN_PROJECT } from './table.js'

export * from './tables-storage.js'

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
    description: 'text?',
    extraSpecs: 'json',
  },
})

export const servers = defineTable<Server>({
  name: 'servers',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,vm_state,seq', 'project_id,seq', 'project_id,created_at'],
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    userId: 'text',
    hostId: 'text',
    name: 'text',
    description: 'text?',
    vmState: 'text',
    taskState: 'text?',
    powerState: 'int',
    flavor: 'json',
    imageId: 'text?',
    kernelLayerId: 'text?',
    ramdiskLayerId: 'text?',
    imageProperties: 'json',
    rootDeviceName: 'text',
    metadata: 'json',
    tags: 'json',
    availabilityZone: 'text',
    reservationId: 'text',
    launchIndex: 'int',
    currentSnapshotId: 'text?',
    autostart: 'bool',
    accessIpV4: 'text',
    accessIpV6: 'text',
    userData: 'text?',
    keyName: 'text?',
    locked: 'bool',
    fault: 'json?',
    createdAt: 'int',
    updatedAt: 'int?',
    launchedAt: 'int?',
    terminatedAt: 'int?',
    deletedAt: 'int?',
  },
})

export const keypairs = defineTable<Keypair>({
  name: 'keypairs',
  fields: {
    id: 'text',
    seq: 'int',
    userId: 'text',
    name: 'text',
    type: 'text',
    publicKey: 'text',
    fingerprint: 'text',
    createdAt: 'int',
  },
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
    email: 'text?',
    enabled: 'bool',
    defaultProjectId: 'text?',
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
    projectId: 'text?',
    methods: 'json',
    auditIds: 'json',
    issuedAt: 'int',
    expiresAt: 'int',
  },
})

export const messages = defineTable<Message>({
  name: 'messages',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,seq'],
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
  listedBy: ['project_id,seq'],
  fields: {
    id: 'text',
    seq: 'int',
    serverId: 'text',
    projectId: 'text',
    userId: 'text',
    action: 'text',
    requestId: 'text',
    message: 'text?',
    startedAt: 'int',
    updatedAt: 'int',
    finishedAt: 'int?',
  },
})

export const events = defineTable<Event>({
  name: 'events',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,seq'],
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
  listedBy: ['project_id,seq'],
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
    leaseOwner: 'text?',
    leaseToken: 'int',
    leaseExpiresAt: 'int?',
    attempts: 'int',
    notBefore: 'int',
    cancelRequested: 'bool',
    yieldRequested: 'bool',
    progress: 'json?',
    error: 'json?',
    createdAt: 'int',
    startedAt: 'int?',
    endedAt: 'int?',
  },
})
