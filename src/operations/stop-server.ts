/** stop-server: the guest is asked, given its time, then ended. Only forward: a server asked to stop stops. */
import { type StopServerInput, stopServer } from '../domain/operations.js'
import { endGuestStep, shutDownGuest } from '../steps/guest.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { retireBelow } from './retire.js'
import { endServerJob, STOPPED } from './server-parts.js'

export const stopServerOperation: Operation<StopServerInput, Tools> = {
  descriptor: stopServer,
  plan: ({ serverId, diskIds, graceMs }) => ({
    prepare: [],
    finish: [shutDownGuest(serverId, graceMs), endGuestStep(serverId)],
    async settle(_, stores, journal) {
      await endServerJob(stores, journal, serverId, STOPPED, 'done')
      await retireBelow(stores, diskIds, journal)
    },
    abandon: async (_, stores, journal) => await endServerJob(stores, journal, serverId, { taskState: null }, 'failed'),
  }),
}
