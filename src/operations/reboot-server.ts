/** reboot-server: SOFT restarts the guest's system inside its QEMU; HARD ends QEMU and starts a new one. */
import { type RebootServerInput, rebootServer } from '../domain/operations.js'
import { endGuestFirst, launchGuest, restartGuest, resumeGuest } from '../steps/guest.js'
import { guestSpec } from '../steps/guest-spec.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { endServerJob, faultOf, RUNNING, STOPPED } from './server-parts.js'

export const rebootServerOperation: Operation<RebootServerInput, Tools> = {
  descriptor: rebootServer,
  plan: ({ serverId, type }) => ({
    prepare:
      type === 'SOFT' ? [] : [endGuestFirst(serverId), launchGuest(serverId, (tools) => guestSpec(tools, serverId)), resumeGuest(serverId)],
    finish: type === 'SOFT' ? [restartGuest(serverId)] : [],
    // A guest lost on the way is the reconciler's to find and tell.
    settle: async (_, stores, journal) => await endServerJob(stores, journal, serverId, { ...RUNNING, fault: null }, 'done'),
    async abandon(_, stores, journal, { sentence, cancelled }) {
      // Nothing was done yet: the guest runs as before.
      if (!journal.begun('end-guest')) return await endServerJob(stores, journal, serverId, { taskState: null }, 'failed')
      if (cancelled) return await endServerJob(stores, journal, serverId, STOPPED, 'failed')
      const patch = { vmState: 'error', powerState: 4, taskState: null, fault: faultOf(journal, sentence) } as const
      await endServerJob(stores, journal, serverId, patch, 'failed')
    },
  }),
}
