/**
 * What makes a guest do something: start, stop, reboot, pause. Each action is one row of a table of allowed states and
 * one accepting transaction: state by compare-and-set, instance action, event, job. Locking and state resets are rows only.
 */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import { restoreServer } from '../../domain/memory-operations.js'
import type { Descriptor } from '../../domain/operation.js'
import { pauseServer, rebootServer, startServer, stopServer, unpauseServer } from '../../domain/operations.js'
import type { Server, ServerTask } from '../../domain/server.js'
import type { EnqueueOptions, Stores } from '../../ports/stores.js'
import { enqueueSave, giveUpSaved, savedStateOf } from '../saved-state.js'
import {
  type Allowed,
  accept,
  type ComputeDeps,
  disksOf,
  enqueueOptions,
  moveServer,
  recordAction,
  recordEvent,
  requireAdmin,
  requireServer,
  requireUnlocked,
  requireWriter,
} from './servers-common.js'

/** How long a guest may take to shut down by itself, unless its image says otherwise: Nova's default. */
const SHUTDOWN_GRACE_MS = 60_000

interface Verb {
  /** Nova's word in refusals, policies and instance actions. */
  readonly name: string
  readonly policy: string
  readonly record: string
  readonly allowed: Allowed
  readonly task: ServerTask
}

const START: Verb = { name: 'start', policy: 'servers:start', record: 'start', allowed: { vmState: ['stopped'] }, task: 'powering-on' }
const STOP: Verb = { name: 'stop', policy: 'servers:stop', record: 'stop', allowed: { vmState: ['active', 'error'] }, task: 'powering-off' }
const PAUSE: Verb = { name: 'pause', policy: 'os-pause-server:pause', record: 'pause', allowed: { vmState: ['active'] }, task: 'pausing' }
const UNPAUSE: Verb = {
  name: 'unpause',
  policy: 'os-pause-server:unpause',
  record: 'unpause',
  allowed: { vmState: ['paused'] },
  task: 'unpausing',
}
const SUSPEND: Verb = {
  name: 'suspend',
  policy: 'os-suspend-server:suspend',
  record: 'suspend',
  allowed: { vmState: ['active'] },
  task: 'suspending',
}
const RESUME: Verb = {
  name: 'resume',
  policy: 'os-suspend-server:resume',
  record: 'resume',
  allowed: { vmState: ['suspended'] },
  task: 'resuming',
}
const REBOOT = { name: 'reboot', policy: 'servers:reboot', record: 'reboot' }
const SOFT: Verb = { ...REBOOT, allowed: { vmState: ['active'] }, task: 'rebooting' }
const HARD: Verb = { ...REBOOT, allowed: { vmState: ['active', 'stopped', 'paused', 'suspended', 'error'] }, task: 'rebooting_hard' }

/** What an action's job is enqueued with. */
interface Asked {
  readonly diskIds: string[]
  readonly now: number
  readonly enqueue: EnqueueOptions
}

export type ServerActionService = ReturnType<typeof createServerActionService>

export function createServerActionService(deps: ComputeDeps) {
  const begin = async <R>(
    caller: Caller,
    id: string,
    verb: Verb,
    enqueue: (stores: Stores, server: Server, job: Asked) => Promise<unknown>,
    reply: () => R,
  ): Promise<R> =>
    accept(deps, undefined, async (stores, now) => {
      const server = await requireServer(stores, caller, id)
      requireWriter(caller, verb.policy)
      requireUnlocked(caller, server)
      await moveServer(stores, server, verb.name, verb.allowed, { taskState: verb.task, updatedAt: now })
      await recordAction(stores, caller, server, verb.record, { now })
      await enqueue(stores, server, { diskIds: await disksOf(stores, id), now, enqueue: enqueueOptions(caller, server) })
      return reply()
    })

  const run = async <I extends { serverId: string; diskIds: string[] }, R>(
    caller: Caller,
    id: string,
    verb: Verb,
    descriptor: Descriptor<I>,
    extra: (server: Server) => Omit<I, 'serverId' | 'diskIds'>,
    reply: () => R,
  ): Promise<R> =>
    begin(
      caller,
      id,
      verb,
      (stores, server, { diskIds, enqueue }) => stores.jobs.enqueue(descriptor, { ...extra(server), serverId: id, diskIds } as I, enqueue),
      reply,
    )

  /** Goes on from what was saved. `otherwise`: there is nothing saved. */
  const restore =
    (otherwise: (stores: Stores, server: Server, job: Asked) => Promise<unknown>) =>
    async (stores: Stores, server: Server, job: Asked): Promise<void> => {
      const saved = await savedStateOf(stores, server.id)
      if (saved === undefined) return void (await otherwise(stores, server, job))
      const input = { serverId: server.id, diskIds: job.diskIds, memoryStateId: saved.id }
      await stores.jobs.enqueue(restoreServer, input, job.enqueue)
    }

  /** Rows only: no job, no task. */
  const mark = async <R>(
    caller: Caller,
    id: string,
    check: () => void,
    work: (stores: Stores, server: Server, now: number) => Promise<void>,
    reply: () => R,
  ): Promise<R> =>
    deps.db.transaction(async (stores) => {
      const server = await requireServer(stores, caller, id)
      check()
      await work(stores, server, deps.clock.now())
      return reply()
    })

  const setLocked = <R>(caller: Caller, id: string, locked: boolean, reply: () => R): Promise<R> =>
    mark(
      caller,
      id,
      () => requireWriter(caller, `os-lock-server:${locked ? 'lock' : 'unlock'}`),
      async (stores, server, now) => {
        await stores.servers.update(id, { locked, updatedAt: now })
        await recordAction(stores, caller, server, locked ? 'lock' : 'unlock', { now, done: true })
      },
      reply,
    )

  return {
    /** What was saved is never passed over: it is restored, or must be discarded first. */
    start: <R>(caller: Caller, id: string, reply: () => R) =>
      begin(
        caller,
        id,
        START,
        restore((stores, server, { diskIds, enqueue }) => stores.jobs.enqueue(startServer, { serverId: server.id, diskIds }, enqueue)),
        reply,
      ),

    suspend: <R>(caller: Caller, id: string, reply: () => R) =>
      begin(
        caller,
        id,
        SUSPEND,
        (stores, server, job) => enqueueSave(stores, server, { ...job, becomes: 'suspended', resumeAtStart: false }),
        reply,
      ),

    resume: <R>(caller: Caller, id: string, reply: () => R) =>
      begin(
        caller,
        id,
        RESUME,
        restore(async () => {
          throw new DomainError('invalidState', `Cannot 'resume' instance ${id}: it has no saved state`)
        }),
        reply,
      ),

    stop: <R>(caller: Caller, id: string, reply: () => R) =>
      run(caller, id, STOP, stopServer, (server) => ({ graceMs: graceOf(server) }), reply),

    /** A hard one starts from power-off: a saved state is given up for it. */
    reboot: <R>(caller: Caller, id: string, type: 'SOFT' | 'HARD', reply: () => R) =>
      begin(
        caller,
        id,
        type === 'SOFT' ? SOFT : HARD,
        async (stores, server, job) => {
          await giveUpSaved(stores, server, job)
          await stores.jobs.enqueue(rebootServer, { serverId: id, diskIds: job.diskIds, type }, job.enqueue)
        },
        reply,
      ),

    pause: <R>(caller: Caller, id: string, reply: () => R) => run(caller, id, PAUSE, pauseServer, () => ({}), reply),

    unpause: <R>(caller: Caller, id: string, reply: () => R) => run(caller, id, UNPAUSE, unpauseServer, () => ({}), reply),

    lock: <R>(caller: Caller, id: string, reply: () => R) => setLocked(caller, id, true, reply),

    unlock: <R>(caller: Caller, id: string, reply: () => R) => setLocked(caller, id, false, reply),

    /** For admins, when the records and the world have drifted apart: sets the state, touches no guest. */
    resetState: <R>(caller: Caller, id: string, vmState: 'active' | 'error', reply: () => R) =>
      mark(
        caller,
        id,
        () => requireAdmin(caller, 'os-admin-actions:reset_state'),
        async (stores, server, now) => {
          // From the state just read: a server whose deletion ends at this moment is not brought back.
          const from = { vmState: [server.vmState] }
          if (!(await stores.servers.transition(id, from, { vmState, taskState: null, updatedAt: now })))
            throw new DomainError('invalidState', `Instance ${id} changed its state while it was being reset.`)
          await recordEvent(stores, caller, server, 'server.reset-state', now)
        },
        reply,
      ),
  }
}

/** The image may say how many seconds its guests need (`os_shutdown_timeout`, 0: none). */
function graceOf(server: Server): number {
  const wish = Number(server.imageProperties['os_shutdown_timeout'] ?? Number.NaN)
  return Number.isInteger(wish) && wish >= 0 && wish <= 3600 ? wish * 1000 : SHUTDOWN_GRACE_MS
}
