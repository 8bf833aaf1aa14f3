/** stop-server: the guest is asked, given its time, then ended. Only forward: a server asked to stop stops. */
import { type StopServerInput, stopServer } from '../domain/operations.js'
import { endGuestStep, shutDownGuest } from '../steps/guest.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { endServerJob, STOPPED } from './server-parts.js'

export const stopServerOperation: Operation<StopServerInput, Tools> = {
  descriptor: stopServer,
  plan: ({ serverId, graceMs }) => ({
    prepare: [],
    finish: [shutDownGuest(serverId, graceMs), endGuestStep(serverId)],
    settle: async (_, stores, journal) => await endServerJob(stores, journal, serverId, STOPPED, 'done'),
    abandon: async (_, stores, journal) => await endServerJob(stores, journal, serverId, { taskState: null }, 'failed'),
  }),
}
