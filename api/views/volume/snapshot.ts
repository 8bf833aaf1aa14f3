/** Snapshots as Cinder shows them. Progress and project are told only by show and detail. */
import type { Snapshot } from '../../../src/domain/snapshot.js'
import type { Version } from '../../versions.js'
import { volumeTime, volumeTimeOrNull } from './common.js'

export const acceptedSnapshotView = (snapshot: Snapshot, version: Version) => ({
  id: snapshot.id,
  created_at: volumeTime(snapshot.createdAt),
  updated_at: volumeTimeOrNull(snapshot.updatedAt),
  name: snapshot.name,
  description: snapshot.description,
  volume_id: snapshot.volumeId,
  status: snapshot.status,
  size: snapshot.sizeGib,
  metadata: snapshot.metadata,
  ...(version.atLeast(14) ? { group_snapshot_id: null } : {}),
  ...(version.atLeast(41) ? { user_id: snapshot.userId } : {}),
  ...(version.atLeast(65) ? { consumes_quota: true } : {}),
})

export const snapshotView = (snapshot: Snapshot, version: Version) => ({
  ...acceptedSnapshotView(snapshot, version),
  'os-extended-snapshot-attributes:project_id': snapshot.projectId,
  'os-extended-snapshot-attributes:progress': snapshot.progress,
})
