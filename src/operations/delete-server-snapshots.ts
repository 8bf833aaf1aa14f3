/**
 * delete-server-snapshots: the promises are taken back and the tree closes over them; then tags leave the disks they are in
 * and memory files are unlinked; at last the layers are let go of, and what becomes of those is their affair. What every
 * other snapshot and the present hold stays what it is.
 */
import type { DiskSnapshot } from '../domain/server-snapshot.js'
import { type DeleteServerSnapshotsInput, deleteServerSnapshots } from '../domain/server-snapshot-operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import { forgetSnapshots } from '../steps/forget-snapshots.js'
import { dropMemory } from '../steps/memory.js'
import { taggedAmong } from '../steps/places.js'
import { removeTags, roomForTags } from '../steps/remove-tags.js'
import type { Journal, Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { isBroken } from './capture.js'
import { forgetMemory, memoriesOf } from './memory-parts.js'
import { retire } from './retire.js'
import { tellEvent, tellUser } from './tell.js'

export const deleteServerSnapshotsOperation: Operation<DeleteServerSnapshotsInput, Tools> = {
  descriptor: deleteServerSnapshots,
  plan: ({ serverId, serverSnapshotIds, children, diskIds }) => ({
    prepare: diskIds.length === 0 ? [] : [roomForTags(serverId, serverSnapshotIds)],
    pivot: forgetSnapshots(serverId, serverSnapshotIds),
    finish: [
      ...(diskIds.length === 0 ? [] : [removeTags(serverSnapshotIds, diskIds)]),
      dropMemory(async (stores) => (await memoriesOf(stores, serverSnapshotIds)).map(({ id }) => id)),
    ],
    async settle(_, stores, journal) {
      for (const { id } of await memoriesOf(stores, serverSnapshotIds)) await forgetMemory(stores, id)
      const parts = await stores.diskSnapshots.list(ANY, { where: { serverSnapshotId: { in: serverSnapshotIds } } })
      for (const part of parts) await stores.diskSnapshots.remove(part.id)
      for (const layerId of new Set(parts.map((part) => part.layerId))) await retire(stores, layerId, journal, children)
      await retireBelowTags(stores, parts, journal)
      for (const id of serverSnapshotIds) {
        await stores.quotas.release(id)
        const about = { projectId: journal.projectId, type: 'server_snapshot', id, kind: 'server_snapshot.deleted' } as const
        await tellEvent(stores, journal, { ...about, payload: { serverId } })
      }
    },
    /** Nothing was touched: they are what they were. */
    async abandon(_, stores, journal, { sentence }) {
      for (const id of serverSnapshotIds) {
        const snapshot = await stores.serverSnapshots.find(ANY, id)
        if (snapshot === undefined) continue
        const { projectId, report, withMemory } = snapshot
        const wasTaken = report !== null && !isBroken(report) && (!withMemory || report.reached === 'memory')
        const status = wasTaken ? 'available' : 'error'
        await stores.serverSnapshots.transition(id, ['deleting'], { status, updatedAt: journal.now })
        await tellUser(stores, journal, { projectId, type: 'SERVER_SNAPSHOT', id, action: 'delete snapshot', sentence })
      }
    },
  }),
}

/** Layers below one that held a tag could not be merged into it: with the last tag gone they may be. */
async function retireBelowTags(stores: Stores, parts: readonly DiskSnapshot[], journal: Journal): Promise<void> {
  const ids = new Set(parts.flatMap(({ layerId, tag }) => (layerId === null || tag === null ? [] : [layerId])))
  const still = await taggedAmong(
    stores,
    [...ids].map((id) => ({ id })),
  )
  for (const id of ids) {
    if (still.has(id)) continue
    for (const layer of (await stores.layers.chain(id)).slice(1)) await retire(stores, layer.id, journal)
  }
}
