/** Our own API's records: snake_case, times as ISO 8601 with microseconds, durations in seconds. */
import type { Job, StepRow } from '../../../src/domain/job.js'
import type { ConsistencyReport } from '../../../src/domain/snapshot.js'
import type { Micros } from '../../../src/domain/time.js'
import type { HostView } from '../../../src/services/strata/hosts.js'
import type { Explanation } from '../../../src/services/strata/jobs.js'
import type { SnapshotReport } from '../../../src/services/strata/snapshot-report.js'
import type { StorageAudit } from '../../../src/services/strata/storage-audit.js'
import { instant } from '../identity/identity.js'

export const instantOrNull = (at: Micros | null): string | null => (at === null ? null : instant(at))
export const seconds = (micros: Micros | null): number | null => (micros === null ? null : micros / 1_000_000)

export const jobView = (job: Job) => ({
  id: job.id,
  operation: job.operation,
  state: job.state,
  resource_type: job.resourceType,
  resource_id: job.resourceId,
  project_id: job.projectId,
  host_id: job.hostId,
  request_id: job.requestId,
  attempts: job.attempts,
  cancel_requested: job.cancelRequested,
  progress: progressView(job),
  error: job.error?.message ?? null,
  created_at: instant(job.createdAt),
  started_at: instantOrNull(job.startedAt),
  ended_at: instantOrNull(job.endedAt),
})

function progressView({ progress, endedAt }: Job) {
  if (!progress) return null
  const { bytesDone, bytesTotal, rate, dirtyRate = 0, stalledSince } = progress
  const nearing = rate - dirtyRate
  const left = endedAt === null && nearing > 0 ? Math.max(0, bytesTotal - bytesDone) / nearing : null
  return {
    bytes_done: bytesDone,
    bytes_total: bytesTotal,
    bytes_per_second: rate,
    bytes_dirtied_per_second: dirtyRate,
    seconds_left: left,
    converging: endedAt === null ? stalledSince === undefined : null,
  }
}

/** Errors of steps name paths and processes: the operator's business. */
export const stepView = (step: StepRow, isAdmin: boolean) => ({
  name: step.name,
  kind: step.kind,
  state: step.state,
  attempts: step.attempts,
  error: isAdmin ? step.error : null,
  facts: isAdmin ? { ...step.facts } : {},
  started_at: instant(step.startedAt),
  ended_at: instantOrNull(step.endedAt),
  seconds: step.endedAt === null ? null : seconds(step.endedAt - step.startedAt),
})

export const explanationView = ({ code, sentence, waitsFor, undone, youCan }: Explanation) => ({
  code,
  sentence,
  waits_for: waitsFor.map(({ lock, holder }) => ({ lock, holder: holder ? jobView(holder) : null })),
  undone: [...undone],
  you_can: [...youCan],
})

export const hostView = ({ host, state, pools, workers }: HostView) => ({
  id: host.id,
  state,
  address: host.address,
  capabilities: { ...host.capabilities },
  heartbeat_at: instant(host.heartbeatAt),
  created_at: instant(host.createdAt),
  pools: pools.map(({ id, name, isDefault }) => ({ id, name, is_default: isDefault })),
  workers: workers.map(({ id, pid, heartbeatAt }) => ({ id, pid, heartbeat_at: instant(heartbeatAt) })),
})

export const consistencyView = (report: ConsistencyReport | null) =>
  report && {
    requested: report.requested,
    reached: report.reached,
    degraded_reason: report.degradedReason,
    frozen_filesystems: report.frozenFilesystems,
    thawed_filesystems: report.thawedFilesystems,
    frozen_seconds: seconds(report.frozenFor),
    switched_seconds: seconds(report.switchedIn),
    skew_seconds: seconds(report.skew ?? null),
    live: report.live,
    taken_at: instant(report.takenAt),
  }

export const snapshotReportView = ({ snapshot, layer, jobs }: SnapshotReport) => ({
  id: snapshot.id,
  name: snapshot.name,
  status: snapshot.status,
  progress: snapshot.progress,
  strategy: snapshot.strategy,
  volume_id: snapshot.volumeId,
  server_id: snapshot.serverId,
  parent_id: snapshot.parentId,
  server_snapshot_id: snapshot.serverSnapshotId,
  created_at: instant(snapshot.createdAt),
  consistency: consistencyView(snapshot.report),
  layer: layer
    ? {
        id: layer.layer.id,
        state: layer.layer.state,
        format: layer.layer.format,
        virtual_size: layer.layer.virtualSize,
        depth: layer.depth,
        children: layer.children,
      }
    : null,
  jobs: jobs.map((job) => job.id),
})

export const auditView = (audit: StorageAudit) => ({
  server_id: audit.serverId,
  live: audit.live,
  settled: audit.settled,
  jobs: [...audit.jobs],
  disks: audit.disks.map((disk) => ({
    disk_id: disk.diskId,
    volume_id: disk.volumeId,
    layers: disk.layers.map(({ id, fileName, state, exists, allocated, open }) => ({ id, file: fileName, state, exists, allocated, open })),
  })),
  findings: audit.findings.map(({ kind, subject, sentence }) => ({ kind, subject, sentence })),
})
