/**
 * record-guest-off and record-qemu-lost: what the reconciler saw happen without us. Both look again under the lock, since
 * the server may have been started in between, and settle only what is still true.
 */
import { type RecordQemuLostInput, recordGuestOff, recordQemuLost, type ServerInput } from '../domain/operations.js'
import { ANY } from '../ports/stores.js'
import { observeGuest } from '../steps/guest.js'
import type { Operation, Plan } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { retireBelow } from './retire.js'
import { endServerJob, faultOf, STOPPED } from './server-parts.js'

const record = ({ serverId, diskIds }: ServerInput, reason: string | null): Plan<ServerInput, Tools> => ({
  prepare: [],
  finish: [observeGuest(serverId)],
  async settle(_, stores, journal) {
    const { seen } = journal.facts('observe-guest')
    const server = await stores.servers.find(ANY, serverId)
    if ((seen !== 'shutdown' && seen !== 'gone') || (server?.vmState !== 'active' && server?.vmState !== 'paused')) return
    const fault = seen === 'gone' ? { fault: faultOf(journal, reason ?? 'The server stopped unexpectedly.') } : {}
    await endServerJob(stores, journal, serverId, { ...STOPPED, ...fault }, 'done')
    await retireBelow(stores, diskIds, journal)
  },
  abandon: async () => {},
})

export const recordGuestOffOperation: Operation<ServerInput, Tools> = {
  descriptor: recordGuestOff,
  plan: (input) => record(input, null),
}
export const recordQemuLostOperation: Operation<RecordQemuLostInput, Tools> = {
  descriptor: recordQemuLost,
  plan: (input) => record(input, input.reason),
}
