/** Server snapshots on the wire. */
import type { DiskSnapshot, SnapshotKind } from '../../../src/domain/server-snapshot.js'
import type { ConsistencyReport } from '../../../src/domain/snapshot.js'
import type { SnapshotCost } from '../../../src/services/strata/server-snapshot-bytes.js'
import type { DeletionResult } from '../../../src/services/strata/server-snapshot-delete.js'
import type { SnapshotTree } from '../../../src/services/strata/server-snapshot-tree.js'
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

export const costView = ({ disks }: ServerSnapshotRecord, { total, reason, disks: parts }: SnapshotCost) => ({
  exclusive: total?.exclusive ?? null,
  shared: total?.shared ?? null,
  reclaimable: total?.reclaimable ?? null,
  reason,
  disks: disks.flatMap(({ id, device }) => {
    const part = parts.get(id)
    return part === undefined ? [] : [{ id, device, exclusive: part.exclusive, shared: part.shared, reclaimable: part.reclaimable }]
  }),
})

export const deletionResultView = ({ id, name, outcome, message, named }: DeletionResult) => ({
  id,
  name,
  outcome,
  message,
  named: named.map((one) => ({ id: one.id, name: one.name })),
})

export const treeView = ({ server, nodes, roots, present }: SnapshotTree) => ({
  server_id: server.id,
  current: server.currentSnapshotId,
  roots: [...roots],
  nodes: nodes.map(({ snapshot, children, isCurrent }) => ({
    id: snapshot.id,
    name: snapshot.name,
    kind: snapshot.kind,
    memory: snapshot.withMemory,
    status: snapshot.status,
    protected: snapshot.protected,
    parent: snapshot.parentId,
    children: [...children],
    is_current: isCurrent,
    created_at: instant(snapshot.createdAt),
  })),
  present: {
    parent: server.currentSnapshotId,
    disks: present.map(({ device, disk, volume, top, depth, grownFrom }) => ({
      device,
      disk_id: disk.id,
      volume_id: volume?.id ?? null,
      layer_id: top?.id ?? null,
      format: top?.format ?? null,
      depth,
      grown_from: grownFrom,
    })),
  },
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
