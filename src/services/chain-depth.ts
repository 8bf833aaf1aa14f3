/** A chain as long as its policy allows gets no further layer: whoever asked for one is told in the words of his own service. */
import { effectivePolicy, policyIds } from '../domain/chain-policy.js'
import type { Disk } from '../domain/disk.js'
import { ANY, type Stores } from '../ports/stores.js'

/** A sentence, or undefined: one more layer may come. What is accepted and not taken yet counts. */
export async function tooDeep(stores: Stores, disks: readonly Disk[]): Promise<string | undefined> {
  for (const disk of disks) {
    if (disk.topLayerId === null) continue
    const depth = (await stores.layers.chain(disk.topLayerId)).length
    const volumes = await stores.snapshots.count(ANY, { diskId: { is: disk.id }, status: { is: 'creating' } })
    const coming = volumes + (await serverSnapshotsOf(stores, disk.id))
    const found = await stores.chainPolicies.list(ANY, { where: { id: { in: policyIds(disk) } } })
    const { hardDepth } = effectivePolicy(found, disk)
    if (depth + coming >= hardDepth)
      return `The chain of disk ${disk.id} has ${depth + coming} layers and may have ${hardDepth}: delete snapshots, or pull or commit the chain, and try again.`
  }
  return undefined
}

/** Parts of those that failed have no layer either, and get none; a tag is none. */
async function serverSnapshotsOf(stores: Stores, diskId: string): Promise<number> {
  const parts = await stores.diskSnapshots.list(ANY, { where: { diskId: { is: diskId }, layerId: { is: null } } })
  const ids = parts.map((part) => part.serverSnapshotId)
  if (ids.length === 0) return 0
  return await stores.serverSnapshots.count(ANY, { id: { in: ids }, status: { is: 'creating' }, kind: { is: 'external' } })
}
