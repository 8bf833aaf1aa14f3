/**
 * Snapshots as tags inside the disks' own qcow2 files: no file is added, chains stay as long as they are, and taking one costs
 * as much as the disk has data. With memory the guest stands until all of it is written. The layer cannot be merged away while it holds one. Removed in place, by name.
 */
import { recordCheckpoint, saveCheckpoint } from '../steps/checkpoint.js'
import { freezeGuard } from '../steps/freeze.js'
import { bindMemory } from '../steps/memory.js'
import { prepareTags, takeTags } from '../steps/tags.js'
import { RUNS, type Strategy } from './strategy.js'

export const qemuInternal: Strategy = {
  name: 'qemu-internal',
  traits: { live: true, memory: true, branches: false, deletesInPlace: true, needsPausedGuest: false, spansDisksAtomically: true },
  bid({ kind, withMemory, formats, vmState }) {
    if (kind !== 'internal') return { refuses: 'it keeps snapshots inside the disks' }
    if (withMemory && vmState !== null && !RUNS.includes(vmState)) return { refuses: 'a server that is off has no memory' }
    return formats.every((format) => format === 'qcow2') ? { rank: 100 } : { refuses: 'a raw disk cannot hold snapshots' }
  },
  create({ serverId, tagged, quiesce, memoryStateId }) {
    if (tagged === undefined) throw new TypeError('a tag needs a name')
    if (serverId !== null && memoryStateId !== undefined) {
      const wanted = { ...tagged, serverId, memoryStateId }
      return {
        prepare: [prepareTags(tagged), bindMemory(serverId, memoryStateId), saveCheckpoint(wanted)],
        finish: [recordCheckpoint(wanted)],
      }
    }
    return {
      prepare: [prepareTags(tagged)],
      ...(serverId === null || quiesce === 'none' ? {} : { guard: freezeGuard(serverId, quiesce) }),
      pivot: takeTags(tagged),
      finish: [],
    }
  },
}
