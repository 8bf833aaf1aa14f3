/**
 * Guests of a host that goes down and comes up again: at the end of the service each one's memory is saved, by the job a
 * caller would have asked for; at its next start those are restored that were saved so, unless a server is not to start by
 * itself. The hard case: the service is killed while it saves. The jobs go on in the next one, whose start they outlast.
 */

import { FINISHED } from '../domain/job.js'
import { restoreServer } from '../domain/memory-operations.js'
import type { Server } from '../domain/server.js'
import type { Doorbell } from '../ports/doorbell.js'
import { ANY, type EnqueueOptions, type Stores } from '../ports/stores.js'
import { enqueueSave, refuseSaved } from '../services/saved-state.js'
import type { WorkerPorts } from '../steps/tools.js'

export interface HostMemoryOptions {
  readonly ports: Pick<WorkerPorts, 'db' | 'clock' | 'settings'>
  readonly doorbell: Doorbell
  readonly log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
}

export interface HostMemory {
  /** Resolves when every guest of the host was saved, or could not be. The worker is still at work. */
  saveAll(): Promise<void>
  /** Returns how many are to be restored. Those still being saved, for the last service was killed at it, come later. */
  restoreAll(): Promise<number>
  /** Again and again after restoreAll: restores those whose saving has ended since. */
  restoreLate(): Promise<number>
}

const LOOK_MS = 50

export function createHostMemory({ ports: { db, clock, settings }, doorbell, log }: HostMemoryOptions): HostMemory {
  const { hostId } = settings
  /** Saved, or being saved, when this service started. What it saves itself is for the next one. */
  const late = new Set<string>()

  return {
    async saveAll() {
      late.clear()
      const where = { hostId: { is: hostId }, vmState: { in: ['active', 'paused'] } }
      const jobs: string[] = []
      for (const { id } of await db.read.servers.list(ANY, { where })) {
        // One guest that cannot be saved must not cost the others their memory.
        const job = await db.transaction((stores) => save(stores, id)).catch((error: unknown) => log.warn({ error, serverId: id }, UNSAVED))
        if (job !== undefined) jobs.push(job)
      }
      if (jobs.length === 0) return
      log.info({ guests: jobs.length }, 'saving the memory of all guests')
      doorbell.ring(hostId)
      while ((await Promise.all(jobs.map(isUnderWay))).includes(true)) await clock.sleep(LOOK_MS)
    },

    async restoreAll() {
      const where = { hostId: { is: hostId }, resumeAtStart: { is: true }, serverSnapshotId: { is: null } }
      for (const { id } of await db.read.memoryStates.list(ANY, { where })) late.add(id)
      return await restoreLate()
    },

    restoreLate,
  }

  async function restoreLate(): Promise<number> {
    let begun = 0
    for (const id of [...late]) {
      const outcome = await db.transaction((stores) => restore(stores, id))
      if (outcome !== 'later') late.delete(id)
      if (outcome === 'begun') begun += 1
    }
    if (begun > 0) doorbell.ring(hostId)
    return begun
  }

  async function isUnderWay(jobId: string): Promise<boolean> {
    const job = await db.read.jobs.find(ANY, jobId)
    return job !== undefined && !FINISHED.includes(job.state) && job.state !== 'needs_attention'
  }

  async function save(stores: Stores, serverId: string): Promise<string | undefined> {
    const server = await stores.servers.find(ANY, serverId)
    if (server === undefined || server.taskState === 'deleting' || server.taskState === 'suspending') return undefined
    await refuseSaved(stores, serverId, 'suspend')
    const now = clock.now()
    // Behind whatever is under way; only a server that does nothing else shows what is done to it.
    await stores.servers.transition(serverId, { taskState: [null] }, { taskState: 'suspending', updatedAt: now })
    const options = { diskIds: await disksOf(stores, serverId), becomes: 'suspended', resumeAtStart: true, now } as const
    return (await enqueueSave(stores, server, { ...options, enqueue: enqueueAs(server) })).jobId
  }

  async function restore(stores: Stores, memoryStateId: string): Promise<'begun' | 'later' | 'not'> {
    const state = await stores.memoryStates.find(ANY, memoryStateId)
    const server = state && (await stores.servers.find(ANY, state.serverId))
    if (state?.resumeAtStart !== true || server?.autostart !== true || server.taskState === 'deleting') return 'not'
    if (state.status !== 'saved' || server.taskState !== null) return 'later'
    const { serverId } = state
    const patch = { taskState: 'resuming', updatedAt: clock.now() } as const
    if (!(await stores.servers.transition(serverId, { vmState: ['suspended', 'stopped'], taskState: [null] }, patch))) return 'not'
    // Once: what cannot be restored now is its owner's to decide about, not the next start's.
    await stores.memoryStates.update(memoryStateId, { resumeAtStart: false })
    const input = { serverId, diskIds: await disksOf(stores, serverId), memoryStateId }
    await stores.jobs.enqueue(restoreServer, input, enqueueAs(server))
    return 'begun'
  }

  function enqueueAs({ projectId, userId }: Server): EnqueueOptions {
    return { hostId, origin: { projectId, userId, requestId: `req-host-${clock.now()}` } }
  }
}

const UNSAVED = 'the memory of a guest will not be saved'

async function disksOf(stores: Stores, serverId: string): Promise<string[]> {
  return (await stores.disks.list(ANY, { where: { serverId: { is: serverId } } })).map((disk) => disk.id)
}
