/**
 * A server ends, and its snapshots with it: what they promised was a way back for this server. They leave by their own job,
 * as if they had been deleted one by one; a volume that stays keeps what it holds now.
 */
import { deleteServerSnapshots } from '../domain/server-snapshot-operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import type { Journal } from '../steps/step.js'
import { originOf } from './tell.js'

export async function giveUpServerSnapshots(stores: Stores, serverId: string, journal: Journal): Promise<void> {
  const gone: string[] = []
  // One that is `deleting` has its job already; of those still being made or gone back to, the jobs came before this one.
  const where = { serverId: { is: serverId }, status: { not: 'deleting' } }
  for (const { id, status } of await stores.serverSnapshots.list(ANY, { where }))
    if (await stores.serverSnapshots.transition(id, [status], { status: 'deleting', updatedAt: journal.now })) gone.push(id)
  if (gone.length === 0) return
  const tagged = await stores.diskSnapshots.list(ANY, { where: { serverSnapshotId: { in: gone }, tag: { not: null } } })
  const diskIds = [...new Set(tagged.map((part) => part.diskId))]
  const input = { serverId, serverSnapshotIds: gone, children: 'share' as const, diskIds }
  await stores.jobs.enqueue(deleteServerSnapshots, input, { hostId: journal.hostId, origin: originOf(journal) })
}
