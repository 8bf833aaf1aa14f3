/**
 * copy-disk: the disk's view in one new file. `pivot`: the disk moves there, and what it stood on stays only for whoever
 * keeps it. `keep`: the file becomes a volume of its own.
 */
import { type CopyDiskInput, copyDisk } from '../domain/chain-operations.js'
import { closeMoved, type MovedFacts } from '../steps/chain-work.js'
import { beginCopy, COPY, closeCopy, copyData } from '../steps/copy-disk.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { wakeGuests } from '../steps/wake-guest.js'
import { forgetPlanned } from './capture.js'
import { retire } from './retire.js'
import { endNewVolume } from './volume-parts.js'

export const copyDiskOperation: Operation<CopyDiskInput, Tools> = {
  descriptor: copyDisk,
  plan: (input) => ({
    prepare: [beginCopy(input)],
    pivot: copyData(input),
    finish: [wakeGuests([input.diskId], COPY), closeCopy(input), closeMoved(COPY, [input.diskId])],
    async settle({ copyVolumeId }, stores, journal) {
      for (const layerId of (journal.facts(COPY) as MovedFacts).layers) await retire(stores, layerId, journal)
      if (copyVolumeId !== null) await endNewVolume(stores, journal, copyVolumeId, 'available')
    },
    async abandon({ layerId, copyVolumeId }, stores, journal, { sentence }) {
      await forgetPlanned(stores, [layerId], journal)
      if (copyVolumeId !== null) await endNewVolume(stores, journal, copyVolumeId, 'error', sentence)
    },
  }),
}
