/** pull-chain: the disk's top takes what the layers below it hold, down to a base (src/steps/pull-chain.ts draws it). Those go unless somebody keeps them. */
import { type PullChainInput, pullChain } from '../domain/chain-operations.js'
import { closeMoved, type MovedFacts } from '../steps/chain-work.js'
import { beginPull, PULL, pullData } from '../steps/pull-chain.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { retire } from './retire.js'

export const pullChainOperation: Operation<PullChainInput, Tools> = {
  descriptor: pullChain,
  plan: (input) => ({
    prepare: [beginPull(input)],
    pivot: pullData(input),
    finish: [closeMoved(PULL, [input.diskId])],
    async settle(_, stores, journal) {
      for (const layerId of (journal.facts(PULL) as MovedFacts).layers) await retire(stores, layerId, journal)
    },
    abandon: async () => {},
  }),
}
