/**
 * The reconciler compares what the tables say with what is there, and enqueues jobs: it never acts on a guest or a layer
 * itself. A guest that shut itself down, a QEMU that is gone, a host that was rebooted; layers nobody needs that no job
 * is about; files of ours that no row knows (told first, removed only when seen again later).
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Layer } from '../domain/disk.js'
import type { Pool } from '../domain/host.js'
import { recordGuestOff, recordQemuLost } from '../domain/operations.js'
import type { Server } from '../domain/server.js'
import { retire } from '../operations/retire.js'
import { shortenDisk, shortening } from '../operations/shorten.js'
import type { Doorbell } from '../ports/doorbell.js'
import { ANY, type Origin } from '../ports/stores.js'
import { taggedAmong } from '../steps/places.js'
import type { WorkerPorts } from '../steps/tools.js'
import { createAskedBefore } from './asked-before.js'

export interface ReconcilerOptions {
  readonly ports: WorkerPorts
  readonly doorbell: Doorbell
  readonly log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
  /** How long a file without a row is only reported. */
  readonly orphanGraceMs?: number
}

export interface Reconciler {
  /** Guests: cheap, also asked for whenever QEMU says something changed. */
  guests(): Promise<number>
  /** Layers and files: every minute or so. */
  sweep(): Promise<void>
  /** At start: a host with another boot id lost all its guests at once. */
  hostStarted(bootId: string): Promise<void>
}

const OURS = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.(qcow2|raw|mem|mem\.part|mem\.scratch)$/

export function createReconciler({ ports, doorbell, log, orphanGraceMs = 600_000 }: ReconcilerOptions): Reconciler {
  const { db, hypervisor, clock, settings } = ports
  const { hostId } = settings
  const orphans = new Map<string, number>()
  const asked = createAskedBefore(clock)
  const shortened = createAskedBefore(clock)
  let rebooted = false

  return {
    async guests() {
      let found = 0
      const where = { hostId: { is: hostId }, vmState: { in: ['active', 'paused'] } }
      for (const server of await db.read.servers.list(ANY, { where })) {
        try {
          const lost = !(await hypervisor.isRunning(server.id))
          if ((lost || (await isOff(server.id))) && (await record(server, lost))) found++
        } catch (error) {
          // One server that cannot be looked at must not hide the others; the next round asks again.
          log.warn({ error, serverId: server.id }, 'a guest could not be looked at')
        }
      }
      if (found > 0) doorbell.ring(hostId)
      return found
    },

    async sweep() {
      await boundConsoles()
      await shortenDeep().catch((error: unknown) => log.warn({ error }, 'long chains could not be looked for'))
      for (const pool of await db.read.pools.list(ANY, { where: { hostId: { is: hostId } } })) {
        try {
          await retireUnneeded(pool)
          await sweepFiles(pool)
        } catch (error) {
          // A pool that is away must not keep the others from being swept.
          log.warn({ error, pool: pool.name }, 'a pool could not be swept')
        }
      }
      doorbell.ring(hostId)
    },

    async hostStarted(bootId) {
      const host = await db.read.hosts.find(ANY, hostId)
      rebooted = host !== undefined && host.bootId !== '' && host.bootId !== bootId
      await this.guests()
      await db.transaction((stores) => stores.hosts.update(hostId, { bootId, heartbeatAt: clock.now(), state: 'up' }))
      rebooted = false
    },
  }

  async function isOff(serverId: string): Promise<boolean> {
    const guest = await hypervisor.find(serverId).catch(() => undefined)
    return (await guest?.runState().catch(() => undefined)) === 'shutdown'
  }

  async function record(server: Server, lost: boolean): Promise<boolean> {
    const disks = await db.read.disks.list(ANY, { where: { serverId: { is: server.id } } })
    const input = { serverId: server.id, diskIds: disks.map((disk) => disk.id) }
    const options = { hostId, origin: originFor(server.projectId, server.userId, clock.now()) }
    const reason = rebooted ? 'The host was restarted.' : 'The server stopped unexpectedly.'
    return await db.transaction(async (stores) => {
      // A job that is about this server will see for itself; what is left then is seen at the next look.
      if ((await stores.jobs.unfinished('server', server.id)).length > 0) return false
      if (lost) await stores.jobs.enqueue(recordQemuLost, { ...input, reason }, options)
      else await stores.jobs.enqueue(recordGuestOff, input, options)
      log.info({ serverId: server.id, lost }, 'a guest ended by itself')
      return true
    })
  }

  /** What a guest says on its serial line is its own affair; how much of it we keep is ours. */
  async function boundConsoles(): Promise<void> {
    const where = { hostId: { is: hostId }, vmState: { in: ['active', 'paused'] } }
    for (const { id: serverId } of await db.read.servers.list(ANY, { where }))
      await hypervisor.boundConsole(serverId).catch((error: unknown) => log.warn({ error, serverId }, 'a console log could not be cut'))
  }

  /** Chains that were long before they had a rule, or could not be shortened when they became so. */
  async function shortenDeep(): Promise<void> {
    const disks = await db.read.disks.list(ANY, { where: { hostId: { is: hostId }, topLayerId: { not: null } } })
    const pools = await db.read.pools.list(ANY, { where: { hostId: { is: hostId } } })
    for (const pool of pools) {
      const mine = disks.filter((disk) => disk.poolId === pool.id)
      const free = mine.length === 0 ? 0 : await ports.files.free(pool.path)
      shortened.keepOnly(
        pool.id,
        mine.map((disk) => disk.id),
      )
      for (const disk of mine) {
        if (!shortened.isTimeFor(disk.id, free) || (await shortening(db.read, disk)) === undefined) continue
        const origin = originFor(disk.projectId, '', clock.now())
        if (await db.transaction((stores) => shortenDisk(stores, disk, origin))) shortened.remember(pool.id, disk.id, free)
      }
    }
  }

  async function retireUnneeded(pool: Pool): Promise<void> {
    const free = await ports.files.free(pool.path)
    const unneeded = await db.read.layers.unneeded(pool.id)
    asked.keepOnly(
      pool.id,
      unneeded.map((layer) => layer.id),
    )
    for (const layer of unneeded) {
      if (!asked.isTimeFor(layer.id, free) || (await isStuck(layer))) continue
      if (await db.transaction((stores) => retire(stores, layer.id, originFor(layer.projectId, '', clock.now()))))
        asked.remember(pool.id, layer.id, free)
    }
  }

  /** A merge that cannot be now: a child holds an internal snapshot, or is open in several running guests. Asking again would only spin. */
  async function isStuck(layer: Layer): Promise<boolean> {
    const children = await db.read.layers.children(layer.id)
    // One with several children is shared, unless it is halfway into each of them.
    if (children.length > 1 && layer.state !== 'merging') return true
    if ((await taggedAmong(db.read, children)).size > 0) return true
    const open = await Promise.all(children.map((child) => isOpenInSeveral(child.id)))
    return open.some(Boolean)
  }

  async function isOpenInSeveral(layerId: string): Promise<boolean> {
    const above = [layerId, ...(await db.read.layers.descendants(layerId)).map((layer) => layer.id)]
    const disks = await db.read.disks.list(ANY, { where: { topLayerId: { in: above } } })
    const servers = [...new Set(disks.map((disk) => disk.serverId))].filter((id) => id !== null)
    const running = await Promise.all(servers.map((id) => hypervisor.isRunning(id)))
    return running.filter(Boolean).length > 1
  }

  async function isKnown(pool: Pool, name: string): Promise<boolean> {
    const where = { poolId: { is: pool.id }, fileName: { is: name.replace(/\.(part|scratch)$/, '') } }
    return (await db.read.layers.count(ANY, where)) + (await db.read.memoryStates.count(ANY, where)) > 0
  }

  /** Only names as we give them; whatever else lies there is another's. */
  async function sweepFiles(pool: Pool): Promise<void> {
    for (const name of (await readdir(pool.path)).filter((one) => OURS.test(one))) {
      const path = join(pool.path, name)
      if (await isKnown(pool, name)) {
        orphans.delete(path)
        continue
      }
      const since = orphans.get(path) ?? clock.monotonic()
      if (!orphans.has(path)) log.warn({ path }, 'a file of ours belongs to nothing')
      orphans.set(path, since)
      if (clock.monotonic() - since < orphanGraceMs * 1000) continue
      await rm(path, { force: true })
      orphans.delete(path)
      log.warn({ path }, 'removed a file of ours that belonged to nothing')
    }
  }
}

const originFor = (projectId: string, userId: string, now: number): Origin => ({ projectId, userId, requestId: `req-reconciler-${now}` })
