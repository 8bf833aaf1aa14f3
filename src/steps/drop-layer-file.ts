/** Removing a layer nobody needs: first the row says so, then the file goes. Whoever pins it again in between is seen in that row's transaction. */
import { ANY } from '../ports/stores.js'
import { fileOf } from './places.js'
import type { ForwardBrick, PivotBrick } from './tools.js'

/** Pivot, rows only: written with its `done`, so after a crash it was either recorded or never happened. */
export const markDropping = (layerId: string): PivotBrick => ({
  kind: 'pivot',
  name: 'mark-dropping',
  probe: async () => 'absent',
  apply: async () => {},
  async record(_, stores) {
    const unneeded = (await stores.layers.pins(layerId)).length === 0 && (await stores.layers.children(layerId)).length === 0
    if (unneeded) await stores.layers.transition(layerId, ['planned', 'sealed', 'merging'], { state: 'dropping' })
  },
})

/** Unlinks the file of a layer that is marked; nothing else is ever unlinked by it. */
export const removeDropped = (layerIds: readonly string[]): ForwardBrick => ({
  kind: 'forward',
  name: 'remove-file',
  probe: async () => 'absent',
  async apply(_, tools) {
    for (const layerId of layerIds) {
      const layer = await tools.db.read.layers.find(ANY, layerId)
      if (layer?.state === 'dropping') await tools.files.remove((await fileOf(tools.db.read, layer)).path)
    }
  },
})
