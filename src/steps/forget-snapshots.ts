/** Server snapshots that are given up, and the tree without them. */
import type { Server } from '../domain/server.js'
import { ANY, type Stores } from '../ports/stores.js'
import type { PivotBrick } from './tools.js'

/**
 * Pivot, rows only: written with its `done`, so after a crash it was either recorded or never happened. What grew from one
 * that goes has then grown from what that one grew from; so has the present. Their parts keep their layers until the end.
 */
export const forgetSnapshots = (serverId: string, serverSnapshotIds: readonly string[]): PivotBrick => ({
  kind: 'pivot',
  name: 'forget-snapshots',
  probe: async () => 'absent',
  apply: async () => {},
  async record(_, stores) {
    const server = await heldServer(stores, serverId)
    const all = await stores.serverSnapshots.list(ANY, { where: { serverId: { is: serverId } } })
    const parents = new Map(all.map((one) => [one.id, one.parentId]))
    const goes = (id: string | null): id is string => id !== null && serverSnapshotIds.includes(id)
    const heirOf = (id: string): string | null => {
      let heir: string | null = id
      while (goes(heir)) heir = parents.get(heir) ?? null
      return heir
    }
    for (const { id, parentId } of all)
      if (!goes(id) && goes(parentId)) await stores.serverSnapshots.update(id, { parentId: heirOf(parentId) })
    if (server !== undefined && goes(server.currentSnapshotId))
      await stores.servers.update(serverId, { currentSnapshotId: heirOf(server.currentSnapshotId) })
    for (const id of serverSnapshotIds) await stores.serverSnapshots.remove(id)
  },
})

/** As it is, and held until the commit: what its present grew from is asked and changed by one at a time. */
export async function heldServer(stores: Stores, serverId: string): Promise<Server | undefined> {
  for (;;) {
    const { vmState } = (await stores.servers.find(ANY, serverId)) ?? {}
    if (vmState === undefined) return undefined
    if (await stores.servers.transition(serverId, { vmState: [vmState] }, { vmState })) return await stores.servers.find(ANY, serverId)
  }
}
