/** Plans as they are told: what goes, what is copied where, and what is in the way. */
import type { WayBack } from '../../../src/domain/plan-bytes.js'
import type { DiskPlan } from '../../../src/domain/plan-scene.js'
import type { ServerPlan } from '../../../src/services/strata/plans.js'

export function planView({ request, serverId, hash, outline, plan, devices, holders, exact }: ServerPlan) {
  const named = ({ id, name }: { id: string; name: string }) => ({ id, name })
  const back = new Map(plan.waysBack.map((way) => [way.diskId, way]))
  const planned = new Set(plan.disks.map((disk) => disk.diskId))
  const inPlace = plan.waysBack.filter((way) => !planned.has(way.diskId)).map((way) => untouched(way.diskId))
  const order = [...devices.keys()]
  // As the guest has them, those that are not plugged in last.
  const place = (diskId: string): number => (order.includes(diskId) ? order.indexOf(diskId) : order.length)
  return {
    hash,
    kind: request.kind,
    server_id: serverId,
    possible: plan.preconditions.every(({ isMet, refuses }) => isMet || !refuses),
    exact,
    deletes: outline.going.map(named),
    victims: outline.victims.map(named),
    disks: [...plan.disks, ...inPlace]
      .toSorted((a, b) => place(a.diskId) - place(b.diskId))
      .map((disk) => diskView(disk, devices.get(disk.diskId), back.get(disk.diskId))),
    bytes_to_copy: plan.bytesToCopy,
    extra_bytes_at_peak: plan.extraAtPeak,
    reclaimable_bytes: plan.reclaimable,
    pause_seconds: plan.pause,
    restarts_guest: outline.restartsGuest,
    preconditions: plan.preconditions.map(({ name, isMet, refuses, sentence }) => ({ name, met: isMet, refuses, sentence })),
    locks: [...plan.locks],
    waits_for: holders.map(({ lock, job }) => ({ lock, job_id: job.id, operation: job.operation })),
  }
}

/** Its present is given up inside its file. */
const untouched = (diskId: string): DiskPlan => ({
  diskId,
  sharedWith: [],
  direction: 'discard',
  reason: null,
  steps: [],
  bytesToCopy: 0,
  extraAtPeak: 0,
  reclaimable: 0,
  pause: 0,
})

function diskView(disk: DiskPlan, known: { device: string; volumeId: string | null } | undefined, back: WayBack | undefined) {
  return {
    disk_id: disk.diskId,
    device: known?.device ?? null,
    volume_id: known?.volumeId ?? null,
    shared_with: [...disk.sharedWith],
    direction: disk.direction,
    reason: disk.reason,
    way_back: back?.way ?? null,
    bytes_to_copy: disk.bytesToCopy + (back?.bytes ?? 0),
    extra_bytes_at_peak: disk.extraAtPeak + (back?.bytes ?? 0),
    reclaimable_bytes: disk.reclaimable - (back?.bytes ?? 0),
    pause_seconds: disk.pause,
    steps: disk.steps.map((step) => ({
      kind: step.kind,
      layer_id: step.layerId,
      other_layer_ids: [...step.others],
      bytes_to_copy: step.bytes,
      bytes_taken: step.takes,
      bytes_freed: step.frees,
      live: step.live,
      follow_on: step.followOn,
      reason: step.reason,
    })),
  }
}
