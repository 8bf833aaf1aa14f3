/**
 * create-snapshot: each disk's top is sealed under a new overlay, all disks at one instant, and the snapshots pin what was
 * sealed. With `imageId` a volume-backed image becomes active in the same transaction.
 */
import { createHash } from 'node:crypto'
import { type CreateSnapshotInput, createSnapshot } from '../domain/operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import type { Journal, Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { strategyNamed } from '../strategies/select.js'
import { forgetPlanned, isBroken, recordSwitch, reportOf } from './capture.js'
import { retire } from './retire.js'
import { shorten } from './shorten.js'
import { finishAction, tellEvent, tellUser } from './tell.js'

/** The image of a volume-backed server has no bytes of its own: its data are the snapshots it names. */
const NO_BYTES = {
  size: 0,
  checksum: createHash('md5').digest('hex'),
  hashAlgo: 'sha512',
  hashValue: createHash('sha512').digest('hex'),
} as const

const TOO_EARLY = 'The guest did not stay frozen until its disks were switched.'

export const createSnapshotOperation: Operation<CreateSnapshotInput, Tools> = {
  descriptor: createSnapshot,
  plan: (input) => ({
    ...strategyNamed(input.strategy).create(input),
    async settle(_, stores, journal) {
      const sealed = await recordSwitch(stores, input.switches)
      const report = await reportOf(stores, journal, input)
      if (isBroken(report)) {
        // The switch cannot be taken back: the overlay stays as a plain layer, what it sealed is nobody's.
        await failAll(stores, journal, input, TOO_EARLY)
        for (const layerId of sealed.values()) await retire(stores, layerId, journal)
        return journal.fail(TOO_EARLY)
      }
      for (const { snapshotId, diskId } of input.snapshots) {
        const layerId = sealed.get(diskId) ?? null
        const patch = { status: 'available', progress: '100%', layerId, report, updatedAt: journal.now } as const
        const taken = await stores.snapshots.transition(snapshotId, ['creating'], patch)
        const snapshot = await stores.snapshots.find(ANY, snapshotId)
        if (!taken || snapshot === undefined) await retire(stores, layerId, journal)
        else
          await tellEvent(stores, journal, { projectId: snapshot.projectId, type: 'snapshot', id: snapshotId, kind: 'snapshot.available' })
      }
      if (input.imageId !== null)
        await stores.images.transition(input.imageId, ['queued', 'saving'], { ...NO_BYTES, status: 'active', updatedAt: journal.now })
      await afterImage(stores, journal, input, 'done')
      await shorten(stores, [...sealed.keys()], journal)
    },
    async abandon(_, stores, journal, { sentence }) {
      await failAll(stores, journal, input, sentence)
      await forgetPlanned(
        stores,
        input.switches.map((one) => one.layerId),
        journal,
      )
    },
  }),
}

async function failAll(stores: Stores, journal: Journal, input: CreateSnapshotInput, sentence: string): Promise<void> {
  for (const { snapshotId } of input.snapshots) {
    const snapshot = await stores.snapshots.find(ANY, snapshotId)
    if (snapshot === undefined) continue
    await stores.snapshots.transition(snapshotId, ['creating'], { status: 'error', layerId: null, updatedAt: journal.now })
    const about = { projectId: snapshot.projectId, id: snapshotId }
    await tellUser(stores, journal, { ...about, type: 'VOLUME_SNAPSHOT', action: 'create snapshot', sentence })
    await tellEvent(stores, journal, { ...about, type: 'snapshot', kind: 'snapshot.error', payload: { sentence } })
  }
  if (input.imageId !== null) {
    await stores.quotas.release(input.imageId)
    await stores.images.remove(input.imageId)
  }
  await afterImage(stores, journal, input, 'failed')
}

async function afterImage(stores: Stores, journal: Journal, input: CreateSnapshotInput, outcome: 'done' | 'failed'): Promise<void> {
  if (input.imageId === null || input.serverId === null) return
  await stores.servers.transition(input.serverId, { taskState: ['image_snapshot_pending', 'image_snapshot'] }, { taskState: null })
  await finishAction(stores, journal, input.serverId, outcome)
}
