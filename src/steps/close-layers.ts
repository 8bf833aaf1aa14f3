/** Layers that some chain went through before data was moved are closed in each guest that reads none of its disks through them now. */
import { blockJobName } from '../domain/names.js'
import { ANY } from '../ports/stores.js'
import type { ForwardBrick, Tools } from './tools.js'

/** Forward: the result is in our journal now, so QEMU may forget it, and in each guest what no chain of its goes through is closed. */
export const closeMerged = (layerIds: readonly string[], diskIds: readonly string[]): ForwardBrick => ({
  kind: 'forward',
  name: 'close-merged',
  probe: async () => 'absent',
  apply: async (_, tools) => await closeUnused(tools, layerIds, diskIds),
})

export async function closeUnused(tools: Tools, layerIds: readonly string[], diskIds: readonly string[]): Promise<void> {
  const stores = tools.db.read
  const disks = await stores.disks.list(ANY, { where: { id: { in: [...diskIds] } } })
  for (const serverId of new Set(disks.map((disk) => disk.serverId))) {
    const host = serverId === null ? undefined : (await tools.hypervisor.find(serverId))?.blocks
    if (host === undefined) continue
    for (const layerId of layerIds) await host.dismissJob(blockJobName('merge', layerId))
    const used = new Set<string>()
    for (const { topLayerId } of await stores.disks.list(ANY, { where: { serverId: { is: serverId } } }))
      for (const layer of topLayerId === null ? [] : await stores.layers.chain(topLayerId)) used.add(layer.id)
    for (const layerId of layerIds) if (!used.has(layerId)) await host.close(layerId)
  }
}
