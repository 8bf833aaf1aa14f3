/**
 * Snapshots as tags inside the disks' own qcow2 files: no file is added, chains stay as long as they are, and taking one costs
 * as much as the disk has data. The layer cannot be merged away while it holds one. Removed in place, by name.
 */
import { freezeGuard } from '../steps/freeze.js'
import { prepareTags, takeTags } from '../steps/tags.js'
import type { Strategy } from './strategy.js'

export const qemuInternal: Strategy = {
  name: 'qemu-internal',
  traits: { live: true, memory: false, branches: false, deletesInPlace: true, needsPausedGuest: false, spansDisksAtomically: true },
  bid({ kind, withMemory, formats }) {
    if (kind !== 'internal') return { refuses: 'it keeps snapshots inside the disks' }
    if (withMemory) return { refuses: 'it does not keep memory' }
    return formats.every((format) => format === 'qcow2') ? { rank: 100 } : { refuses: 'a raw disk cannot hold snapshots' }
  },
  create({ serverId, tagged, quiesce }) {
    if (tagged === undefined) throw new TypeError('a tag needs a name')
    return {
      prepare: [prepareTags(tagged)],
      ...(serverId === null || quiesce === 'none' ? {} : { guard: freezeGuard(serverId, quiesce) }),
      pivot: takeTags(tagged),
      finish: [],
    }
  },
}
