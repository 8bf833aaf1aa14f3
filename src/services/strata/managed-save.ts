/** Managed save: a server's memory goes to a file and its QEMU ends; its next start goes on from there. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { MemoryState } from '../../domain/memory-state.js'
import type { Server } from '../../domain/server.js'
import { ANY, type Stores } from '../../ports/stores.js'
import {
  accept,
  type ComputeDeps,
  disksOf,
  enqueueOptions,
  moveServer,
  recordAction,
  recordEvent,
  requireUnlocked,
} from '../compute/servers-common.js'
import { enqueueSave, giveUpSaved, savedStateOf } from '../saved-state.js'
import { allowMember } from '../volume/access.js'
import { requireServer } from './server-snapshots-common.js'

export type ManagedSaveService = ReturnType<typeof createManagedSaveService>

export function createManagedSaveService(deps: ComputeDeps) {
  const writable = async (stores: Stores, caller: Caller, id: string, policy: string): Promise<Server> => {
    const server = await requireServer(stores, caller, id)
    allowMember(caller, policy)
    requireUnlocked(caller, server)
    return server
  }
  return {
    save: <R>(caller: Caller, id: string, reply: (state: MemoryState, jobId: string) => R): Promise<R> =>
      accept(deps, undefined, async (stores, now) => {
        const server = await writable(stores, caller, id, 'strata:managed_save:create')
        await moveServer(stores, server, 'managed-save', { vmState: ['active', 'paused'] }, { taskState: 'suspending', updatedAt: now })
        await recordAction(stores, caller, server, 'managed-save', { now })
        const enqueue = enqueueOptions(caller, server)
        const options = { diskIds: await disksOf(stores, id), becomes: 'stopped', resumeAtStart: false, now, enqueue } as const
        const { memoryStateId, jobId } = await enqueueSave(stores, server, options)
        const state = await stores.memoryStates.find(ANY, memoryStateId)
        if (state === undefined) throw new DomainError('internal', 'a saved state could not be described')
        return reply(state, jobId)
      }),

    async show(caller: Caller, id: string): Promise<MemoryState> {
      await requireServer(deps.db.read, caller, id)
      return (await savedStateOf(deps.db.read, id)) ?? nothingSaved(id)
    },

    /** The next start is one from power-off. */
    discard: <R>(caller: Caller, id: string, reply: (jobId: string) => R): Promise<R> =>
      accept(deps, undefined, async (stores, now) => {
        const server = await writable(stores, caller, id, 'strata:managed_save:delete')
        if ((await savedStateOf(stores, id)) === undefined) nothingSaved(id)
        // Not while it is being restored. One that was suspended is now just off.
        const vmState = server.vmState === 'suspended' ? 'stopped' : server.vmState
        await moveServer(stores, server, 'discard-saved', { vmState: ['stopped', 'suspended', 'error'] }, { vmState, updatedAt: now })
        const enqueue = enqueueOptions(caller, server)
        return reply((await giveUpSaved(stores, server, { diskIds: await disksOf(stores, id), now, enqueue })) ?? nothingSaved(id))
      }),

    /** Whether a server that was saved when its host's service ended is restored when that starts again. */
    setAutostart: <R>(caller: Caller, id: string, autostart: boolean, reply: () => R): Promise<R> =>
      deps.db.transaction(async (stores) => {
        const server = await writable(stores, caller, id, 'strata:autostart:update')
        await stores.servers.update(id, { autostart, updatedAt: deps.clock.now() })
        await recordEvent(stores, caller, server, 'server.autostart', deps.clock.now())
        return reply()
      }),
  }
}

function nothingSaved(id: string): never {
  throw new DomainError('notFound', `Server ${id} has no saved state.`)
}
