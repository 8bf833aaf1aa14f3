/** start-server: QEMU launched stopped on what the tables say is each disk's top, then set going. Undone, the server is off as before. */
import { type ServerInput, startServer } from '../domain/operations.js'
import { launchGuest, resumeGuest } from '../steps/guest.js'
import { guestSpec } from '../steps/guest-spec.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { endServerJob, faultOf, RUNNING, STOPPED } from './server-parts.js'

export const startServerOperation: Operation<ServerInput, Tools> = {
  descriptor: startServer,
  plan: ({ serverId }) => ({
    prepare: [launchGuest(serverId, (tools) => guestSpec(tools, serverId)), resumeGuest(serverId)],
    finish: [],
    settle: async (_, stores, journal) =>
      await endServerJob(stores, journal, serverId, { ...RUNNING, launchedAt: journal.now, fault: null }, 'done'),
    abandon: async (_, stores, journal, { sentence }) =>
      await endServerJob(stores, journal, serverId, { ...STOPPED, fault: faultOf(journal, sentence) }, 'failed'),
  }),
}
