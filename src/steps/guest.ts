/**
 * The guest as a process: launched stopped, resumed, shut down, ended, reset, paused. Launching and resuming can be
 * undone (the guest is ended); the rest only goes forward. Every start of a server is one of these steps inside an
 * operation that holds its power, so no start can slip between a switch and its rows.
 */
import { AdapterError, refused } from '../domain/errors.js'
import type { GuestSpec, RunState } from '../ports/hypervisor.js'
import type { ForwardBrick, Tools, UndoableBrick } from './tools.js'

/** `postmigrate`: its memory was saved, and it was not needed after all. */
const STOPPED: readonly RunState[] = ['prelaunch', 'paused', 'postmigrate']

/** Ends the process whatever its state: cleanly if it answers, by force if not. */
export async function endGuest(tools: Tools, serverId: string): Promise<void> {
  try {
    await (await tools.hypervisor.find(serverId))?.quit()
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error
  }
  await tools.hypervisor.kill(serverId)
}

export const launchGuest = (serverId: string, spec: (tools: Tools) => Promise<GuestSpec>): UndoableBrick => ({
  kind: 'undoable',
  name: 'launch-guest',
  async probe(_, tools) {
    if (!(await tools.hypervisor.isRunning(serverId))) return 'absent'
    // One that does not answer was caught in its start.
    const guest = await tools.hypervisor.find(serverId).catch(() => undefined)
    return guest === undefined ? 'partial' : 'done'
  },
  async apply(_, tools) {
    const wanted = await spec(tools)
    for (const disk of wanted.disks) await tools.files.verify(disk.chain)
    await tools.hypervisor.launch(wanted)
  },
  undo: async (_, tools) => await endGuest(tools, serverId),
})

export const resumeGuest = (serverId: string): UndoableBrick => ({
  kind: 'undoable',
  name: 'resume-guest',
  async probe(_, tools) {
    const state = await (await tools.hypervisor.find(serverId))?.runState()
    return state === undefined || STOPPED.includes(state) ? 'absent' : 'done'
  },
  async apply(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    if (guest === undefined) throw refused('QEMU ended while the server was being started')
    await guest.resume()
  },
  // What was started is ended by undoing the launch.
  undo: async () => {},
})

export const shutDownGuest = (serverId: string, graceMs: number): ForwardBrick => ({
  kind: 'forward',
  name: 'shut-down-guest',
  async probe(_, tools) {
    const state = await (await tools.hypervisor.find(serverId))?.runState()
    return state === undefined || state === 'shutdown' ? 'done' : 'absent'
  },
  async apply(_, tools) {
    if (graceMs === 0) return
    try {
      const guest = await tools.hypervisor.find(serverId)
      if (guest === undefined || (await guest.runState()) !== 'running') return
      await guest.pressPowerButton()
      await guest.waitForShutdown(graceMs, tools.stop)
    } catch (error) {
      // Asking nicely failed; the next step does not ask.
      if (!(error instanceof AdapterError) || tools.stop.aborted) throw error
    }
  },
})

export const endGuestStep = (serverId: string): ForwardBrick => ({
  kind: 'forward',
  name: 'end-guest',
  probe: async (_, tools) => ((await tools.hypervisor.isRunning(serverId)) ? 'absent' : 'done'),
  apply: async (_, tools) => await endGuest(tools, serverId),
})

/** The same before a launch. What was begun to be ended is ended: undone, the server is off, and its rows say so. */
export const endGuestFirst = (serverId: string): UndoableBrick => ({
  ...endGuestStep(serverId),
  kind: 'undoable',
  undo: async (_, tools) => await endGuest(tools, serverId),
})

export const forgetGuest = (serverId: string): ForwardBrick => ({
  kind: 'forward',
  name: 'forget-guest',
  probe: async () => 'absent',
  apply: async (_, tools) => await tools.hypervisor.forget(serverId),
})

/** Restarts the guest's system: by its agent if one takes it, else the reset line. Repeating it does no harm. */
export const restartGuest = (serverId: string): ForwardBrick => ({
  kind: 'forward',
  name: 'restart-guest',
  probe: async () => 'absent',
  async apply(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    if (guest === undefined) return tools.learn({ lost: true })
    const running = (await guest.runState()) === 'running'
    if (running && (await tools.agent.shutdown(serverId, 'reboot'))) return
    await guest.reset()
    if ((await guest.runState()) !== 'running') await guest.resume()
  },
})

export const pauseGuest = (serverId: string, paused: boolean): ForwardBrick => ({
  kind: 'forward',
  name: paused ? 'pause-guest' : 'unpause-guest',
  async probe(_, tools) {
    const state = await (await tools.hypervisor.find(serverId))?.runState()
    return state === undefined || STOPPED.includes(state) === paused ? 'done' : 'absent'
  },
  async apply(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    if (guest === undefined) return tools.learn({ lost: true })
    await (paused ? guest.pause() : guest.resume())
  },
})

/** What the reconciler saw is looked at again under the lock: the guest may have been started since. */
export const observeGuest = (serverId: string): ForwardBrick => ({
  kind: 'forward',
  name: 'observe-guest',
  probe: async () => 'absent',
  async apply(_, tools) {
    const state = await (await tools.hypervisor.find(serverId))?.runState()
    if (state === 'shutdown') await endGuest(tools, serverId)
    if (state === undefined) await tools.hypervisor.kill(serverId)
    tools.learn({ seen: state ?? 'gone' })
  },
})
