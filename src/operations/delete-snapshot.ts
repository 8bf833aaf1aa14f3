/** delete-snapshot: settles at once. The promise is taken back; what becomes of the bytes is the layer's affair. */
import { type DeleteSnapshotInput, deleteSnapshot } from '../domain/operations.js'
import { ANY } from '../ports/stores.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { retire } from './retire.js'
import { tellEvent } from './tell.js'

export const deleteSnapshotOperation: Operation<DeleteSnapshotInput, Tools> = {
  descriptor: deleteSnapshot,
  plan: ({ snapshotId, children }) => ({
    prepare: [],
    finish: [],
    async settle(_, stores, journal) {
      const snapshot = await stores.snapshots.find(ANY, snapshotId)
      if (snapshot === undefined) return
      await stores.snapshots.remove(snapshotId)
      await stores.quotas.release(snapshotId)
      await tellEvent(stores, journal, { projectId: snapshot.projectId, type: 'snapshot', id: snapshotId, kind: 'snapshot.deleted' })
      await retire(stores, snapshot.layerId, journal, children)
    },
    async abandon(_, stores, journal) {
      await stores.snapshots.transition(snapshotId, ['deleting'], { status: 'error_deleting', updatedAt: journal.now })
    },
  }),
}
