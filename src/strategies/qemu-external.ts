/**
 * Snapshots as sealed layers: an empty overlay on top of each disk, all switched in one transaction while the guest runs,
 * or by rows alone while it does not. Memory goes into a file beside them, copied while the guest runs. Removing one is never its affair: deleting unpins, and the layer is merged.
 */
import { createLayers } from '../steps/create-layers.js'
import { freezeGuard } from '../steps/freeze.js'
import { bindMemory } from '../steps/memory.js'
import { plugLayers } from '../steps/plug-layers.js'
import { keepMemory, memoryGuard, prepareMemory } from '../steps/snapshot-memory.js'
import { switchTopLayers } from '../steps/switch-top-layers.js'
import { RUNS, type Strategy } from './strategy.js'

export const qemuExternal: Strategy = {
  name: 'qemu-external',
  traits: { live: true, memory: true, branches: true, deletesInPlace: false, needsPausedGuest: false, spansDisksAtomically: true },
  bid({ kind, withMemory, vmState }) {
    if (kind !== 'external') return { refuses: 'it keeps snapshots as layers of their own' }
    return withMemory && vmState !== null && !RUNS.includes(vmState) ? { refuses: 'a server that is off has no memory' } : { rank: 100 }
  },
  create({ serverId, switches, quiesce, memoryStateId }) {
    const layers = [createLayers(switches.map(({ diskId, layerId }) => ({ layerId, on: { topOf: diskId } }))), plugLayers(switches)]
    const pivot = switchTopLayers(switches)
    if (serverId !== null && memoryStateId !== undefined) {
      const memory = { serverId, memoryStateId, diskIds: switches.map(({ diskId }) => diskId) }
      return {
        prepare: [...layers, bindMemory(serverId, memoryStateId), prepareMemory(memory)],
        guard: memoryGuard(memory),
        pivot,
        finish: [keepMemory(memory)],
      }
    }
    return {
      prepare: layers,
      ...(serverId === null || quiesce === 'none' ? {} : { guard: freezeGuard(serverId, quiesce) }),
      pivot,
      finish: [],
    }
  },
}
