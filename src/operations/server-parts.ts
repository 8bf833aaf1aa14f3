/** What operations on a server share: how its rows end, well or badly. */
import type { Fault, Server } from '../domain/server.js'
import { ANY, type Stores } from '../ports/stores.js'
import type { Journal } from '../steps/step.js'
import { finishAction, tellEvent } from './tell.js'

export const RUNNING = { vmState: 'active', powerState: 1, taskState: null } as const
export const PAUSED = { vmState: 'paused', powerState: 3, taskState: null } as const
export const STOPPED = { vmState: 'stopped', powerState: 4, taskState: null } as const

export const faultOf = (journal: Journal, message: string): Fault => ({ code: 500, message, createdAt: journal.now })

/** The server's final state, its action's end, and the event. A server that was deleted meanwhile stays deleted. */
export async function endServerJob(
  stores: Stores,
  journal: Journal,
  serverId: string,
  patch: Partial<Server>,
  outcome: 'done' | 'failed',
): Promise<void> {
  const server = await stores.servers.find(ANY, serverId)
  if (server !== undefined) {
    const expected = { vmState: ['building', 'active', 'paused', 'suspended', 'stopped', 'error'] } as const
    await stores.servers.transition(serverId, expected, { ...patch, updatedAt: journal.now })
    const kind = `server.${patch.vmState ?? server.vmState}`
    await tellEvent(stores, journal, { projectId: server.projectId, type: 'server', id: serverId, kind })
  }
  await finishAction(stores, journal, serverId, outcome)
}
