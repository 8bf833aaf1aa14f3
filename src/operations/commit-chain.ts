/** commit-chain: a layer goes down into one below, with what lies between (src/steps/commit-chain.ts draws it). */
import { type CommitChainInput, commitChain } from '../domain/chain-operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import { closeMoved } from '../steps/chain-work.js'
import { beginCommit, COMMIT, commitData } from '../steps/commit-chain.js'
import { removeDropped } from '../steps/drop-layer-file.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { wakeGuests } from '../steps/wake-guest.js'
import { forgetLayer, retire } from './retire.js'
import { tellEvent } from './tell.js'

export const commitChainOperation: Operation<CommitChainInput, Tools> = {
  descriptor: commitChain,
  plan: (input) => ({
    prepare: [beginCommit(input)],
    pivot: commitData(input),
    finish: [wakeGuests(input.diskIds, COMMIT), closeMoved(COMMIT, input.diskIds), removeDropped(input.layerIds)],
    async settle({ baseLayerId, layerIds }, stores, journal) {
      for (const layer of await stores.layers.list(ANY, { where: { id: { in: layerIds }, state: { is: 'dropping' } } })) {
        await forgetLayer(stores, layer.id)
        await tellEvent(stores, journal, { projectId: layer.projectId, type: 'layer', id: layer.id, kind: 'layer.merged' })
      }
      await retire(stores, baseLayerId, journal)
    },
    // Layers left `merging` read right for all above them, and are merged away as any that nobody keeps.
    abandon: async () => {},
  }),
  /** Undefined: what was to go down is gone. */
  async renew(input: CommitChainInput, stores: Stores) {
    const above = (await stores.layers.descendants(input.baseLayerId)).map((layer) => layer.id)
    if (!above.includes(input.topLayerId)) return undefined
    const disks = await stores.disks.list(ANY, { where: { topLayerId: { in: above } } })
    return { ...input, layerIds: above, diskIds: disks.map((disk) => disk.id) }
  },
}
