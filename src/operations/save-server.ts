/**
 * save-server: the guest is stopped, its memory goes to a file, its QEMU ends. Until the pivot the guest goes on as if
 * nothing had been, whatever fails; a QEMU that dies on the way takes the memory along as ever, and the disks are right.
 */
import { type SaveServerInput, saveServer } from '../domain/memory-operations.js'
import { ANY } from '../ports/stores.js'
import { endGuestStep } from '../steps/guest.js'
import { bindMemory, saveMemory, sealMemory, standStill } from '../steps/memory.js'
import type { Operation } from '../steps/step.js'
import type { PivotBrick, Tools } from '../steps/tools.js'
import { forgetMemory } from './memory-parts.js'
import { retireBelow } from './retire.js'
import { endServerJob } from './server-parts.js'

/**
 * Rows only: the file is now the guest, its QEMU a shell. The hard case: QEMU dies around it. The file was whole and durable
 * before, and the guest stood, so it makes no difference when; nothing in the world is asked.
 */
const countOnFile = ({ serverId, memoryStateId }: SaveServerInput): PivotBrick => ({
  kind: 'pivot',
  name: 'count-on-file',
  probe: async () => 'absent',
  apply: async () => {},
  async record(_, stores) {
    const server = await stores.servers.find(ANY, serverId)
    await stores.memoryStates.transition(memoryStateId, ['planned'], { status: 'saved', wasRunning: server?.vmState === 'active' })
  },
})

export const saveServerOperation: Operation<SaveServerInput, Tools> = {
  descriptor: saveServer,
  plan: (input) => {
    const { serverId, diskIds, memoryStateId, becomes } = input
    return {
      prepare: [bindMemory(serverId, memoryStateId), standStill(serverId), saveMemory(serverId, memoryStateId), sealMemory(memoryStateId)],
      pivot: countOnFile(input),
      finish: [endGuestStep(serverId)],
      async settle(_, stores, journal) {
        await endServerJob(stores, journal, serverId, { vmState: becomes, powerState: 4, taskState: null, fault: null }, 'done')
        await retireBelow(stores, diskIds, journal)
      },
      async abandon(_, stores, journal) {
        await forgetMemory(stores, memoryStateId)
        await endServerJob(stores, journal, serverId, { taskState: null }, 'failed')
      },
    }
  },
}
