/** All stores on one session: what a unit of work is handed, or what `read` offers. */
import type { Stores } from '../../src/ports/stores.js'
import type { Session } from '../session.js'
import { createImageStore } from './images.js'
import { createJobStore } from './jobs.js'
import { createLayerStore } from './layers.js'
import { createQuotaStore } from './quotas.js'
import { createGuarded, createRecords } from './records.js'
import { createServerStore } from './servers.js'
import * as tables from './tables.js'
import * as snapshotTables from './tables-snapshots.js'
import { createTokenStore } from './tokens.js'

export function createStores(session: Session): Stores {
  return {
    hosts: createRecords(session, tables.hosts),
    workers: createRecords(session, tables.workers),
    pools: createRecords(session, tables.pools),
    flavors: createRecords(session, tables.flavors),
    servers: createServerStore(session),
    disks: createRecords(session, tables.disks),
    layers: createLayerStore(session),
    volumes: createGuarded(session, tables.volumes, 'status'),
    attachments: createGuarded(session, tables.attachments, 'status'),
    volumeTypes: createRecords(session, tables.volumeTypes),
    volumeTypeAccess: createRecords(session, tables.volumeTypeAccess),
    defaultVolumeTypes: createRecords(session, tables.defaultVolumeTypes),
    volumeTransfers: createRecords(session, tables.volumeTransfers),
    keypairs: createRecords(session, tables.keypairs),
    snapshots: createGuarded(session, tables.snapshots, 'status'),
    serverSnapshots: createGuarded(session, snapshotTables.serverSnapshots, 'status'),
    diskSnapshots: createRecords(session, snapshotTables.diskSnapshots),
    memoryStates: createGuarded(session, snapshotTables.memoryStates, 'status'),
    chainPolicies: createRecords(session, snapshotTables.chainPolicies),
    images: createImageStore(session),
    imageMembers: createRecords(session, tables.imageMembers),
    projects: createRecords(session, tables.projects),
    users: createRecords(session, tables.users),
    roles: createRecords(session, tables.roles),
    roleAssignments: createRecords(session, tables.roleAssignments),
    tokens: createTokenStore(session),
    messages: createRecords(session, tables.messages),
    instanceActions: createRecords(session, tables.instanceActions),
    events: createRecords(session, tables.events),
    artefacts: createRecords(session, tables.artefacts),
    idempotencyKeys: createRecords(session, tables.idempotencyKeys),
    jobs: createJobStore(session),
    quotas: createQuotaStore(session),
  }
}
