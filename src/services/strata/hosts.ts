/** Hosts as an operator sees them, and the bell that other processes of ours ring. */
import { timingSafeEqual } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Host, Pool, Worker } from '../../domain/host.js'
import { secondsToMicros } from '../../domain/time.js'
import type { Clock } from '../../ports/clock.js'
import type { Doorbell } from '../../ports/doorbell.js'
import { ANY, type Database } from '../../ports/stores.js'

/** A host not heard of for so long counts as down; its jobs wait for it. */
const SILENT_AFTER = secondsToMicros(30)

export interface HostView {
  readonly host: Host
  readonly state: 'up' | 'down'
  readonly pools: readonly Pool[]
  readonly workers: readonly Worker[]
}

export interface HostService {
  listHosts(caller: Caller): Promise<HostView[]>
  showHost(caller: Caller, id: string): Promise<HostView>
  /** Wakes this process' worker if the host is its own. */
  ring(caller: Caller, hostId: string): void
  isDoorbellSecret(secret: string): boolean
}

export function createHostService(deps: {
  db: Database
  clock: Clock
  doorbell: Doorbell
  doorbellSecret: string | undefined
}): HostService {
  const { db, clock, doorbell, doorbellSecret } = deps
  const view = async (host: Host): Promise<HostView> => ({
    host,
    state: host.state === 'up' && clock.now() - host.heartbeatAt < SILENT_AFTER ? 'up' : 'down',
    pools: await db.read.pools.list(ANY, { where: { hostId: { is: host.id } } }),
    workers: await db.read.workers.list(ANY, { where: { hostId: { is: host.id } } }),
  })
  return {
    async listHosts(caller) {
      admin(caller)
      return Promise.all((await db.read.hosts.list(ANY)).map(view))
    },
    async showHost(caller, id) {
      admin(caller)
      const host = await db.read.hosts.find(ANY, id)
      if (!host) throw new DomainError('notFound', `Host ${id} could not be found.`)
      return view(host)
    },
    ring(caller, hostId) {
      admin(caller)
      doorbell.ring(hostId)
    },
    isDoorbellSecret(secret) {
      const [given, right] = [Buffer.from(secret), Buffer.from(doorbellSecret ?? '')]
      return right.length > 0 && given.length === right.length && timingSafeEqual(given, right)
    },
  }
}

function admin(caller: Caller): void {
  if (!caller.isAdmin) throw new DomainError('forbidden', 'Only an administrator may see or ring hosts.')
}
