/** discard-saved: the file of a saved state that was given up when this was accepted goes, then its row. Only forward. */
import { type DiscardSavedInput, discardSaved } from '../domain/memory-operations.js'
import { ANY } from '../ports/stores.js'
import { dropMemory } from '../steps/memory.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { forgetMemory } from './memory-parts.js'
import { tellEvent } from './tell.js'

export const discardSavedOperation: Operation<DiscardSavedInput, Tools> = {
  descriptor: discardSaved,
  plan: ({ serverId, memoryStateId }) => ({
    prepare: [],
    finish: [dropMemory(async (stores) => ((await stores.memoryStates.find(ANY, memoryStateId)) === undefined ? [] : [memoryStateId]))],
    async settle(_, stores, journal) {
      await forgetMemory(stores, memoryStateId)
      const server = await stores.servers.find(ANY, serverId)
      const about = { type: 'server', id: serverId, kind: 'server.saved-state-gone', payload: { memoryStateId } } as const
      if (server !== undefined) await tellEvent(stores, journal, { projectId: server.projectId, ...about })
    },
    abandon: async () => {},
  }),
}
