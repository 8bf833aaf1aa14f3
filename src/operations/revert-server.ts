/**
 * revert-server: a server goes back to one of its snapshots. What its disks become is made first, while it goes on; then
 * the present is given up (src/steps/revert-disks.ts draws it), its QEMU is ended, and it starts on the new tops, or stays
 * off; or its memory is loaded, checked before anything was touched, and it goes on where it was. Disks that are not in the snapshot stay as they are. From the pivot on there is no way back to the present: the
 * server is as it was then, and at worst it is off and says why.
 */

import type { Server } from '../domain/server.js'
import type { CapturedPower } from '../domain/server-snapshot.js'
import { type RevertServerInput, revertServer } from '../domain/server-snapshot-operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import { checkRevert } from '../steps/check-revert.js'
import { endGuestStep } from '../steps/guest.js'
import { applyTags, createReverted, givenUpTops, putOnTop, waysBack } from '../steps/revert-disks.js'
import { loadReverted, resumeReverted, START, type StartFacts, startReverted } from '../steps/start-reverted.js'
import type { Journal, Operation } from '../steps/step.js'
import type { ForwardBrick, Tools } from '../steps/tools.js'
import { forgetPlanned } from './capture.js'
import { retire, retireBelow } from './retire.js'
import { endServerJob, faultOf, PAUSED, RUNNING, STOPPED } from './server-parts.js'
import { tellEvent } from './tell.js'

export const revertServerOperation: Operation<RevertServerInput, Tools> = {
  descriptor: revertServer,
  plan: (input) => ({
    prepare: [checkRevert(input), createReverted(input.disks)],
    pivot: putOnTop(async (stores) => (await waysBack(stores, input.disks)).filter(({ kind }) => kind !== 'in-place')),
    finish: [endGuestStep(input.serverId), applyTags(input.disks), ...goingOn(input)],
    async settle({ serverId, serverSnapshotId, powerState, withMemory }, stores, journal) {
      const { refused } = journal.facts(START) as StartFacts
      const power = refused === undefined ? powerState : 'stopped'
      await stores.servers.update(serverId, { currentSnapshotId: serverSnapshotId })
      await stores.serverSnapshots.transition(serverSnapshotId, ['reverting'], { status: 'available', updatedAt: journal.now })
      await told(stores, journal, input, refused)
      await endServerJob(
        stores,
        journal,
        serverId,
        became(journal, { power, withMemory }, refused),
        refused === undefined ? 'done' : 'failed',
      )
      const tops = new Set((await stores.disks.list(ANY, { where: { id: { in: input.diskIds } } })).map((disk) => disk.topLayerId))
      await forgetPlanned(
        stores,
        input.disks.map(({ layerId }) => layerId).filter((layerId) => !tops.has(layerId)),
        journal,
      )
      for (const old of givenUpTops(journal)) await retire(stores, old, journal)
      // The guest that held them was ended: what had to wait for that may go on.
      await retireBelow(stores, input.diskIds, journal)
      if (refused !== undefined) journal.fail(refused)
    },
    async abandon({ serverId, serverSnapshotId, disks }, stores, journal) {
      await forgetPlanned(
        stores,
        disks.map(({ layerId }) => layerId),
        journal,
      )
      await stores.serverSnapshots.transition(serverSnapshotId, ['reverting'], { status: 'available', updatedAt: journal.now })
      await endServerJob(stores, journal, serverId, { taskState: null }, 'failed')
    },
  }),
}

const goingOn = ({ serverId, serverSnapshotId, powerState, withMemory }: RevertServerInput): ForwardBrick[] =>
  withMemory ? [loadReverted(serverId, serverSnapshotId), resumeReverted(serverId, powerState)] : [startReverted(serverId, powerState)]

function became(
  journal: Journal,
  { power, withMemory }: { power: CapturedPower; withMemory: boolean },
  refused: string | undefined,
): Partial<Server> {
  if (power === 'stopped') return { ...STOPPED, fault: refused === undefined ? null : faultOf(journal, refused) }
  const launched = withMemory ? {} : { launchedAt: journal.now }
  return { ...(power === 'paused' ? PAUSED : RUNNING), ...launched, fault: null }
}

async function told(stores: Stores, journal: Journal, input: RevertServerInput, refused: string | undefined): Promise<void> {
  const server = await stores.servers.find(ANY, input.serverId)
  if (server === undefined) return
  const payload = {
    serverSnapshotId: input.serverSnapshotId,
    keptIn: input.keptIn,
    ...(refused === undefined ? {} : { sentence: refused }),
  }
  await tellEvent(stores, journal, { projectId: server.projectId, type: 'server', id: server.id, kind: 'server.reverted', payload })
}
