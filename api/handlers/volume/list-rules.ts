/**
 * By what each of Cinder's lists is sorted and filtered, and from which microversion. `resource_filters` (3.33) tells
 * members exactly what stands here.
 */
import type { Message } from '../../../src/domain/ledger.js'
import type { Snapshot } from '../../../src/domain/snapshot.js'
import type { Volume, VolumeType } from '../../../src/domain/volume.js'
import { exact, type ListRules, nobody, pairs, times, truth, unlessFalse, whole } from './list-query.js'

/** Of volumes and snapshots the only thing all have in common is that they count. */
const COUNTS = { consumes_quota: ['id', unlessFalse, 65, 'new'] } as const

export const volumeRules: ListRules<Volume> = {
  sortKeys: {
    created_at: 'createdAt',
    updated_at: 'updatedAt',
    id: 'id',
    name: 'name',
    display_name: 'name',
    status: 'status',
    size: 'sizeGib',
    bootable: 'bootable',
    availability_zone: 'availabilityZone',
    volume_type_id: 'volumeTypeId',
    project_id: 'projectId',
    user_id: 'userId',
  },
  likes: ['name', 'description'],
  filters: {
    name: ['name', exact, 0],
    display_name: ['name', exact],
    status: ['status', exact, 0],
    metadata: ['metadata', pairs, 0],
    availability_zone: ['availabilityZone', exact, 0],
    bootable: ['bootable', truth, 0],
    glance_metadata: ['imageMetadata', pairs, 4, 'new'],
    group_id: ['id', nobody, 10, 'new'],
    migration_status: ['id', nobody, 31],
    size: ['sizeGib', whole, 31],
    description: ['description', exact, 34],
    created_at: ['createdAt', times, 60, 'new'],
    updated_at: ['updatedAt', times, 60, 'new'],
    ...COUNTS,
    id: ['id', exact],
    snapshot_id: ['snapshotId', exact],
    source_volid: ['sourceVolumeId', exact],
    volume_type_id: ['volumeTypeId', exact],
    project_id: ['projectId', exact],
    user_id: ['userId', exact],
  },
}

export const snapshotRules: ListRules<Snapshot> = {
  sortKeys: {
    created_at: 'createdAt',
    updated_at: 'updatedAt',
    id: 'id',
    name: 'name',
    display_name: 'name',
    status: 'status',
    progress: 'progress',
    volume_id: 'volumeId',
    volume_size: 'sizeGib',
    project_id: 'projectId',
    user_id: 'userId',
  },
  sortsByNameSince: 30,
  likes: ['name', 'description'],
  filters: {
    name: ['name', exact, 0],
    display_name: ['name', exact],
    status: ['status', exact, 0],
    volume_id: ['volumeId', exact, 0],
    metadata: ['metadata', pairs, 22, 'new'],
    description: ['description', exact, 34],
    ...COUNTS,
    id: ['id', exact],
    volume_size: ['sizeGib', whole],
    progress: ['progress', exact],
    project_id: ['projectId', exact],
    user_id: ['userId', exact],
  },
}

export const messageRules: ListRules<Message> = {
  sortKeys: {
    created_at: 'createdAt',
    id: 'id',
    event_id: 'eventId',
    resource_type: 'resourceType',
    resource_uuid: 'resourceId',
    request_id: 'requestId',
  },
  filters: {
    event_id: ['eventId', exact, 5],
    request_id: ['requestId', exact, 5],
    resource_type: ['resourceType', (text) => ({ is: text.toUpperCase() }), 5],
    resource_uuid: ['resourceId', exact, 5],
    message_level: ['level', exact, 5],
  },
}

/** `is_public` is read by its handler: for members it is always true. */
export const typeRules: ListRules<VolumeType> = {
  sortKeys: { created_at: 'createdAt', id: 'id', name: 'name', is_public: 'isPublic' },
  strictSince: 52,
  filters: { extra_specs: ['extraSpecs', pairs, 52, 'new'], name: ['name', exact], id: ['id', exact] },
}
