/**
 * Snapshots as sealed layers: an empty overlay on top of each disk, all switched in one transaction while the guest runs,
 * or by rows alone while it does not. Removing one is never its affair: deleting unpins, and the layer is merged.
 */
import { createLayers } from '../steps/create-layers.js'
import { freezeGuard } from '../steps/freeze.js'
import { plugLayers } from '../steps/plug-layers.js'
import { switchTopLayers } from '../steps/switch-top-layers.js'
import type { Strategy } from './strategy.js'

export const qemuExternal: Strategy = {
  name: 'qemu-external',
  traits: { live: true, memory: false, branches: true, deletesInPlace: false, needsPausedGuest: false, spansDisksAtomically: true },
  bid({ kind, withMemory }) {
    if (kind !== 'external') return { refuses: 'it keeps snapshots as layers of their own' }
    return withMemory ? { refuses: 'it does not keep memory' } : { rank: 100 }
  },
  create({ serverId, switches, quiesce }) {
    return {
      prepare: [createLayers(switches.map(({ diskId, layerId }) => ({ layerId, on: { topOf: diskId } }))), plugLayers(switches)],
      ...(serverId === null || quiesce === 'none' ? {} : { guard: freezeGuard(serverId, quiesce) }),
      pivot: switchTopLayers(switches),
      finish: [],
    }
  },
}
