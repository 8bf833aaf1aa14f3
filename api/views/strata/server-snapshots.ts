/** Server snapshots on the wire. */
import type { DiskSnapshot, SnapshotKind } from '../../../src/domain/server-snapshot.js'
import type { ConsistencyReport } from '../../../src/domain/snapshot.js'
import type { ServerSnapshotRecord } from '../../../src/services/strata/server-snapshots-common.js'
import { instant } from '../identity/identity.js'
import { consistencyView, instantOrNull, seconds } from './strata.js'

export const serverSnapshotView = ({ snapshot, children, isCurrent, disks, memory }: ServerSnapshotRecord) => ({
  id: snapshot.id,
  name: snapshot.name,
  description: snapshot.description,
  status: snapshot.status,
  kind: snapshot.kind,
  memory: snapshot.withMemory,
  server_id: snapshot.serverId,
  project_id: snapshot.projectId,
  user_id: snapshot.userId,
  parent_id: snapshot.parentId,
  children: [...children],
  is_current: isCurrent,
  power_state: snapshot.powerState,
  metadata: { ...snapshot.metadata },
  protected: snapshot.protected,
  expires_at: instantOrNull(snapshot.expiresAt),
  created_at: instant(snapshot.createdAt),
  updated_at: instantOrNull(snapshot.updatedAt),
  consistency: reportView(snapshot.report),
  memory_state: memory === undefined ? null : { id: memory.id, status: memory.status, format: memory.format, size: memory.size },
  disks: disks.map((disk) => diskView(disk, snapshot.kind)),
})

const diskView = (disk: DiskSnapshot, kind: SnapshotKind) => ({
  id: disk.id,
  device: disk.device,
  disk_id: disk.diskId,
  volume_id: disk.volumeId,
  snapshot: kind,
  layer_id: disk.layerId,
  virtual_size: disk.virtualSize,
})

function reportView(report: ConsistencyReport | null) {
  const told = consistencyView(report)
  return told && { ...told, paused_seconds: seconds(report?.pausedFor ?? null) }
}
