/**
 * Undoable: opens the new overlays of plugged-in disks in their running QEMU, so that the switch is one command. The
 * overlay is opened without backing: the switch itself attaches it (opening the base a second time would fail on its
 * lock). A disk at rest needs nothing. QEMU gone: its nodes went with it.
 */

import { formatNode } from '../domain/names.js'
import type { Switch } from '../domain/operations.js'
import type { LayerFile } from '../ports/block.js'
import type { Stores } from '../ports/stores.js'
import { fileOf, layerRow, liveDisk, topOf } from './places.js'
import type { UndoableBrick } from './tools.js'

export const plugLayers = (switches: readonly Switch[]): UndoableBrick => ({
  kind: 'undoable',
  name: 'plug-layers',
  resumes: true,
  joins: true,
  async probe(_, tools) {
    const open = await Promise.all(
      switches.map(async ({ diskId, layerId }) => {
        const nodes = await (await liveDisk(tools, diskId))?.guest.blocks.nodes()
        return nodes === undefined || nodes.some((node) => node.node === formatNode(layerId))
      }),
    )
    return open.every(Boolean) ? 'done' : 'partial'
  },
  async apply(_, tools) {
    for (const { diskId, layerId } of switches) {
      const live = await liveDisk(tools, diskId)
      if (live !== undefined) await live.guest.blocks.open(await overlayFile(tools.db.read, diskId, layerId), null, { writable: true })
    }
  },
  async undo(_, tools) {
    for (const { diskId, layerId } of switches) await (await liveDisk(tools, diskId))?.guest.blocks.close(layerId)
  },
})

/** As large as the layer it goes on: a smaller one would silently shrink the guest's disk. */
async function overlayFile(stores: Stores, diskId: string, layerId: string): Promise<LayerFile> {
  const { virtualSize } = await layerRow(stores, await topOf(stores, diskId))
  return { ...(await fileOf(stores, await layerRow(stores, layerId))), virtualSize }
}
