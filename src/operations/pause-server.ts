/** pause-server and unpause-server: one command each, harmless to repeat. */
import { pauseServer, type ServerInput, unpauseServer } from '../domain/operations.js'
import { pauseGuest } from '../steps/guest.js'
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { endServerJob, PAUSED, RUNNING } from './server-parts.js'

const pausing = (paused: boolean): Operation<ServerInput, Tools> => ({
  descriptor: paused ? pauseServer : unpauseServer,
  plan: ({ serverId }) => ({
    prepare: [],
    finish: [pauseGuest(serverId, paused)],
    settle: async (_, stores, journal) => await endServerJob(stores, journal, serverId, paused ? PAUSED : RUNNING, 'done'),
    abandon: async (_, stores, journal) => await endServerJob(stores, journal, serverId, { taskState: null }, 'failed'),
  }),
})

export const pauseServerOperation = pausing(true)
export const unpauseServerOperation = pausing(false)
