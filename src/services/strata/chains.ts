/**
 * Chains as their owners change them: pulled up into the top, committed down into a layer below, or copied whole to where
 * they are wanted. What stands in the way now is a 409; what comes in the way until the job's turn ends the job.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { commitChain, copyDisk, pullChain } from '../../domain/chain-operations.js'
import { type Obstacle, whyNotCommit, whyNotMove, whyNotPull } from '../../domain/chain-rules.js'
import { DomainError } from '../../domain/errors.js'
import type { Pool } from '../../domain/host.js'
import { ANY, type Origin, type Stores } from '../../ports/stores.js'
import type { ServiceDeps } from '../deps.js'
import { planLayer } from '../planned-layers.js'
import { allowMember } from '../volume/access.js'
import { planCopy } from './chain-copy.js'
import { findDisk, type OwnedDisk, requireMovable } from './chain-disks.js'
import { nameOf, type ShownChain, showChain } from './chain-view.js'

export interface PullRequest {
  /** Null: down to nothing. */
  readonly baseLayerId: string | null
  readonly bytesPerSecond: number
}

export interface CommitRequest {
  /** The disk's own top where it is not said. */
  readonly topLayerId?: string | undefined
  /** The next below it where it is not said. */
  readonly baseLayerId?: string | undefined
  readonly bytesPerSecond: number
}

export interface CopyRequest {
  /** By name; where the disk is now where it is not said. */
  readonly pool?: string | undefined
  readonly format: 'qcow2' | 'raw'
  /** The copy becomes a volume of its own, and the disk stays where it is. */
  readonly keep: boolean
  readonly name: string | null
  readonly description: string | null
  readonly bytesPerSecond: number
}

export interface Accepted {
  readonly jobId: string
  /** Of a copy that is kept. */
  readonly volumeId: string | null
}

type Deps = Pick<ServiceDeps, 'db' | 'clock' | 'doorbell' | 'auditor' | 'settings'>
export type ChainService = ReturnType<typeof createChainService>

export const createChainService = (deps: Deps) => ({
  show: (caller: Caller, id: string): Promise<ShownChain> => showChain(deps, caller, id),

  pull: <R>(caller: Caller, id: string, request: PullRequest, reply: (accepted: Accepted) => R): Promise<R> =>
    change(deps, caller, { id, rule: 'chain:pull' }, reply, async (stores, { disk }, top, origin) => {
      await refuseFor(stores, caller, whyNotPull(await stores.layers.links(top), request.baseLayerId))
      const jobId = await stores.jobs.enqueue(pullChain, { diskId: disk.id, ...request }, { hostId: disk.hostId, origin })
      return { jobId, volumeId: null }
    }),

  commit: <R>(caller: Caller, id: string, request: CommitRequest, reply: (accepted: Accepted) => R): Promise<R> =>
    change(deps, caller, { id, rule: 'chain:commit' }, reply, async (stores, { disk }, top, origin) => {
      const links = await stores.layers.links(top)
      const topLayerId = request.topLayerId ?? top
      const at = links.findIndex((link) => link.layer.id === topLayerId)
      const baseLayerId = request.baseLayerId ?? links[at + 1]?.layer.id
      if (at < 0 || baseLayerId === undefined)
        throw new DomainError('invalidState', at < 0 ? notThere(topLayerId) : `There is nothing below layer ${topLayerId}.`)
      await refuseFor(stores, caller, whyNotCommit(links, topLayerId, baseLayerId))
      const layerIds = (await stores.layers.descendants(baseLayerId)).map((layer) => layer.id)
      const disks = await stores.disks.list(ANY, { where: { topLayerId: { in: layerIds } } })
      const { bytesPerSecond } = request
      const input = { diskId: disk.id, topLayerId, baseLayerId, layerIds, diskIds: disks.map((one) => one.id), bytesPerSecond }
      return { jobId: await stores.jobs.enqueue(commitChain, input, { hostId: disk.hostId, origin }), volumeId: null }
    }),

  copy: <R>(caller: Caller, id: string, request: CopyRequest, reply: (accepted: Accepted) => R): Promise<R> =>
    change(deps, caller, { id, rule: 'chain:copy' }, reply, async (stores, owned, top, origin) => {
      const { disk } = owned
      const pool = await poolOf(stores, owned, request.pool)
      if (!request.keep) await refuseFor(stores, caller, whyNotMove(await stores.layers.links(top)))
      const now = deps.clock.now()
      const layerId = randomUUID()
      const place = { hostId: disk.hostId, poolId: pool.id, projectId: disk.projectId }
      // As large as the disk is when its turn comes.
      await planLayer(stores, place, { id: layerId, parentId: null, virtualSize: disk.virtualSize, format: request.format }, now)
      const copy = request.keep ? await planCopy(stores, deps, caller, { owned, pool, request, now }) : undefined
      const jobId = await stores.jobs.enqueue(
        copyDisk,
        {
          diskId: disk.id,
          layerId,
          end: request.keep ? 'keep' : 'pivot',
          copyDiskId: copy?.diskId ?? null,
          copyVolumeId: copy?.volumeId ?? null,
          bytesPerSecond: request.bytesPerSecond,
        },
        { hostId: disk.hostId, origin },
      )
      return { jobId, volumeId: copy?.volumeId ?? null }
    }),
})

async function change<R>(
  deps: Deps,
  caller: Caller,
  { id, rule }: { id: string; rule: string },
  reply: (accepted: Accepted) => R,
  accept: (stores: Stores, owned: OwnedDisk, top: string, origin: Origin) => Promise<Accepted>,
): Promise<R> {
  const { answer, hostId } = await deps.db.transaction(async (stores) => {
    const owned = await findDisk(stores, caller, id)
    allowMember(caller, rule)
    const top = await requireMovable(stores, owned)
    const origin = { projectId: owned.disk.projectId, userId: caller.userId, requestId: caller.requestId }
    return { answer: reply(await accept(stores, owned, top, origin)), hostId: owned.disk.hostId }
  })
  deps.doorbell.ring(hostId)
  return answer
}

const notThere = (layerId: string): string => `Layer ${layerId} is not in the chain of the disk.`

/** A 409 names who keeps what would change. */
async function refuseFor(stores: Stores, caller: Caller, obstacle: Obstacle | undefined): Promise<void> {
  if (obstacle === undefined) return
  const pins = await Promise.all((obstacle.pinnedBy ?? []).map((pin) => nameOf(stores, caller, pin)))
  throw new DomainError('invalidState', obstacle.sentence, pins.length === 0 ? {} : { extra: { pinned_by: pins } })
}

async function poolOf(stores: Stores, { disk }: OwnedDisk, name: string | undefined): Promise<Pool> {
  const pools = await stores.pools.list(ANY, { where: { hostId: { is: disk.hostId } } })
  const pool = pools.find((one) => (name === undefined ? one.id === disk.poolId : one.name === name))
  if (pool === undefined) throw new DomainError('invalid', `The host of the disk has no pool "${name ?? disk.poolId}".`)
  return pool
}
