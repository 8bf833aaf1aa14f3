/**
 * Between the workers of one host: what one that is gone held is taken over at once, and whoever lost its lease is ended
 * before its work goes on in other hands.
 */
import { millisToMicros } from '../domain/time.js'
import { ANY, type Stores } from '../ports/stores.js'
import type { WorkerPorts } from '../steps/tools.js'
import { isAlive } from './processes.js'

export interface SuccessionOptions {
  readonly ports: Pick<WorkerPorts, 'db' | 'clock' | 'settings'>
  readonly workerId: string
  readonly leaseMs: number
  readonly pollMs: number
  readonly log: { error(fields: object, message: string): void }
  /** Ends the process a lease is taken from; resolves when it is gone. */
  readonly endPredecessor: (worker: { pid: number; startTime: number }) => Promise<void>
}

export function createSuccession({ ports, workerId, leaseMs, pollMs, log, endPredecessor }: SuccessionOptions) {
  const { db, clock } = ports
  const { hostId } = ports.settings
  return {
    /** Leases of workers of this host whose process is gone need not run out first. */
    async inheritFromTheDead(): Promise<void> {
      for (const worker of await db.read.workers.list(ANY, { where: { hostId: { is: hostId } } })) {
        if (worker.id === workerId || (await isAlive(worker))) continue
        await this.signOff(worker.id)
      }
    },

    /** Of one that does nothing any more: what it left unfinished may be claimed at once. */
    async signOff(id: string): Promise<void> {
      await db.transaction(async (stores) => {
        await stores.jobs.renew(id, 0)
        await stores.workers.remove(id)
      })
    },

    /** Whoever comes after us must know that it is still to be ended, should we go before. */
    async oweTheEndOf(stores: Stores, ownerId: string | null | undefined): Promise<void> {
      if (ownerId != null && ownerId !== workerId) await stores.workers.update(ownerId, { heartbeatAt: 0 })
    },

    /**
     * Until all are gone: the lease names us by now, so no later claim would tell whom to end. For the same reason not the
     * last owner alone: it may have gone before it had ended its own predecessor, which is among those silent for a lease.
     */
    async endOwners(ownerId: string, stop: AbortSignal): Promise<void> {
      const silentSince = clock.now() - millisToMicros(leaseMs)
      for (const owner of await db.read.workers.list(ANY, { where: { hostId: { is: hostId } } })) {
        const mayAct = owner.id === ownerId || owner.heartbeatAt < silentSince
        if (owner.id === workerId || owner.pid === process.pid || !mayAct) continue
        for (;;) {
          try {
            await endPredecessor(owner)
            break
          } catch (error) {
            stop.throwIfAborted()
            log.error({ error, workerId: owner.id }, 'a worker that lost its lease does not end')
            await clock.sleep(pollMs)
          }
        }
        await db.transaction((stores) => stores.workers.remove(owner.id))
      }
    },
  }
}
