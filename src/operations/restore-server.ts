/**
 * restore-server: a QEMU is launched that takes the saved memory, and goes on from it. What is saved is checked before
 * anything is touched; refused, the server is as before, and its saved state too. It is given up only once the guest goes on.
 */

import { DomainError } from '../domain/errors.js'
import { type RestoreServerInput, restoreServer } from '../domain/memory-operations.js'
import { bringBack, checkMemory, dropMemory, GO_ON, goOn } from '../steps/memory.js'
import type { Operation } from '../steps/step.js'
import type { PivotBrick, Tools } from '../steps/tools.js'
import { forgetMemory } from './memory-parts.js'
import { endServerJob, faultOf, PAUSED, RUNNING, STOPPED } from './server-parts.js'

const LOST = 'The hypervisor process of the server was lost at the moment it was to go on.'

/**
 * The line before the guest runs: from then on its disks may be others than the saved memory knows, and loading it once more
 * would destroy them. Only the journal says it, so it is written before anything can happen. The hard case: QEMU dies around
 * it. Before it, the look here finds that, and the memory is kept. After it nobody can say whether the guest ran: the memory
 * is given up, the disks are as the guest left them, and the server is off and says why.
 */
const letGo = ({ serverId }: RestoreServerInput): PivotBrick => ({
  kind: 'pivot',
  name: 'let-go',
  probe: async () => 'absent',
  async apply(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    if (guest === undefined) throw new DomainError('invalidState', 'The hypervisor process of the server ended before it went on.')
  },
})

export const restoreServerOperation: Operation<RestoreServerInput, Tools> = {
  descriptor: restoreServer,
  plan: (input) => {
    const { serverId, memoryStateId } = input
    return {
      prepare: [checkMemory(serverId, memoryStateId), bringBack(serverId, memoryStateId)],
      pivot: letGo(input),
      finish: [goOn(serverId, memoryStateId), dropMemory(async () => [memoryStateId])],
      async settle(_, stores, journal) {
        const { lost, runs } = journal.facts(GO_ON) as { lost?: true; runs?: boolean }
        await forgetMemory(stores, memoryStateId)
        const power = lost === true ? { ...STOPPED, fault: faultOf(journal, LOST) } : { ...(runs ? RUNNING : PAUSED), fault: null }
        await endServerJob(stores, journal, serverId, power, lost === true ? 'failed' : 'done')
        if (lost === true) journal.fail(LOST)
      },
      abandon: async (_, stores, journal, { sentence }) =>
        await endServerJob(stores, journal, serverId, { taskState: null, fault: faultOf(journal, sentence) }, 'failed'),
    }
  },
}
