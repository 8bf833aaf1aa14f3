/** Chains, and the rules for how long they may get. */
import type { EffectivePolicy } from '../../../src/domain/chain-policy.js'
import type { ShownChain, ShownLayer } from '../../../src/services/strata/chain-view.js'
import type { Accepted } from '../../../src/services/strata/chains.js'

export const policyView = ({ softDepth, hardDepth, bytesPerSecond, from }: EffectivePolicy) => ({
  soft_depth: softDepth,
  hard_depth: hardDepth,
  bytes_per_second: bytesPerSecond,
  from,
})

const layerView = ({ layer, pool, allocated, children, pinnedBy, internalSnapshots, open }: ShownLayer) => ({
  id: layer.id,
  state: layer.state,
  format: layer.format,
  origin: layer.origin,
  pool,
  virtual_bytes: layer.virtualSize,
  allocated_bytes: allocated,
  children,
  pinned_by: pinnedBy.map(({ kind, id, name }) => ({ kind, id, name })),
  internal_snapshots: [...internalSnapshots],
  open,
})

export const chainView = ({ disk, volume, policy, jobs, layers }: ShownChain) => ({
  disk_id: disk.id,
  volume_id: volume?.id ?? null,
  server_id: disk.serverId,
  depth: layers.length,
  policy: policyView(policy),
  jobs: [...jobs],
  layers: layers.map(layerView),
})

export const acceptedView = ({ jobId, volumeId }: Accepted) => ({ job_id: jobId, volume_id: volumeId })
