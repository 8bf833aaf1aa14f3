/**
 * A disk whose chain is longer than its policy wants gets a pull of its upper layers, at the policy's pace: enqueued once a
 * layer was added, and by the reconciler for those that were long before or could not be shortened then.
 */
import { type PullChainInput, pullChain } from '../domain/chain-operations.js'
import { effectivePolicy, policyIds } from '../domain/chain-policy.js'
import { baseForShortening } from '../domain/chain-rules.js'
import type { Disk } from '../domain/disk.js'
import { ANY, type Origin, type Stores } from '../ports/stores.js'

/** No policy wants chains shorter than this. */
const SHORTEST = 2

export async function shorten(stores: Stores, diskIds: readonly string[], origin: Origin): Promise<void> {
  for (const diskId of diskIds) {
    const disk = await stores.disks.find(ANY, diskId)
    if (disk !== undefined) await shortenDisk(stores, disk, origin)
  }
}

/** True: a job for it was enqueued. */
export async function shortenDisk(stores: Stores, disk: Disk, { projectId, userId, requestId }: Origin): Promise<boolean> {
  const input = await shortening(stores, disk)
  if (input === undefined) return false
  await stores.jobs.enqueue(pullChain, input, { hostId: disk.hostId, origin: { projectId, userId, requestId } })
  return true
}

/** What is to be pulled; undefined: its chain is not too long, or cannot be shortened now. */
export async function shortening(stores: Stores, disk: Disk): Promise<PullChainInput | undefined> {
  const chain = disk.topLayerId === null ? [] : await stores.layers.chain(disk.topLayerId)
  const [top] = chain
  if (top === undefined || chain.length <= SHORTEST) return undefined
  const policy = effectivePolicy(await stores.chainPolicies.list(ANY, { where: { id: { in: policyIds(disk) } } }), disk)
  const base = chain.length > policy.softDepth ? baseForShortening(chain, policy.softDepth) : undefined
  if (base === undefined || (await stores.jobs.unfinished('disk', disk.id)).length > 0) return undefined
  // A stream would take from under a tag what it reads below.
  if ((await stores.diskSnapshots.count(ANY, { layerId: { is: top.id }, tag: { not: null } })) > 0) return undefined
  return { diskId: disk.id, baseLayerId: base.id, bytesPerSecond: policy.bytesPerSecond }
}
