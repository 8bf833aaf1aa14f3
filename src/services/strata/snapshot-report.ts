/** What a snapshot really is: the consistency it got, where its bytes lie, who shares them, who is at work on it. */
import type { Caller } from '../../domain/caller.js'
import type { Layer } from '../../domain/disk.js'
import { DomainError } from '../../domain/errors.js'
import type { Job } from '../../domain/job.js'
import type { Snapshot } from '../../domain/snapshot.js'
import { ANY, type Database } from '../../ports/stores.js'

export interface SnapshotReport {
  readonly snapshot: Snapshot
  readonly layer: { readonly layer: Layer; readonly depth: number; readonly children: number } | undefined
  readonly jobs: readonly Job[]
}

export interface SnapshotReportService {
  reportSnapshot(caller: Caller, id: string): Promise<SnapshotReport>
}

export function createSnapshotReportService({ db }: { db: Database }): SnapshotReportService {
  return {
    async reportSnapshot(caller, id) {
      const { read } = db
      const snapshot = await read.snapshots.find(caller.isAdmin ? ANY : { projectId: caller.projectId }, id)
      if (!snapshot || snapshot.status === 'deleted') throw new DomainError('notFound', `Snapshot ${id} could not be found.`)
      const chain = snapshot.layerId === null ? [] : await read.layers.chain(snapshot.layerId)
      const [layer] = chain
      const children = layer ? (await read.layers.children(layer.id)).length : 0
      return { snapshot, layer: layer && { layer, depth: chain.length, children }, jobs: await read.jobs.unfinished('snapshot', id) }
    },
  }
}
