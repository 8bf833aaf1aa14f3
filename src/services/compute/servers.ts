/** Servers as records: list, show, rename, delete, metadata. What makes a guest do something is in server-actions.ts. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Host } from '../../domain/host.js'
import type { Metadata } from '../../domain/metadata.js'
import { deleteServer } from '../../domain/operations.js'
import type { Server } from '../../domain/server.js'
import type { Attachment } from '../../domain/volume.js'
import { ANY, type Stores } from '../../ports/stores.js'
import {
  accept,
  attachmentsOf,
  type ComputeDeps,
  disksOf,
  enqueueOptions,
  holdServer,
  MAX_METADATA_ITEMS,
  moveServer,
  recordAction,
  recordEvent,
  requireServer,
  requireState,
  requireUnlocked,
  requireWriter,
} from './servers-common.js'
import { listServers, type ServerList } from './servers-list.js'

/** A server with what its picture needs beside its own row. */
export interface ServerRecord {
  readonly server: Server
  readonly attachments: readonly Attachment[]
  /** For admins; null for others. */
  readonly hostStatus: 'UP' | 'DOWN' | 'UNKNOWN' | null
}

export interface ServerUpdate {
  readonly name?: string
  readonly description?: string | null
  readonly accessIpV4?: string
  readonly accessIpV6?: string
}

export type ServerService = ReturnType<typeof createServerService>

export function createServerService(deps: ComputeDeps) {
  const { db, clock } = deps

  /** `keep`: which of the old metadata stays, given the new. */
  const changeMetadata = async <R>(
    caller: Caller,
    id: string,
    rule: { policy: string; action: string },
    change: (old: Metadata) => Metadata,
    reply: (metadata: Metadata) => R,
  ): Promise<R> =>
    db.transaction(async (stores) => {
      const server = await holdServer(deps, stores, caller, id)
      requireWriter(caller, rule.policy)
      requireUnlocked(caller, server)
      await requireState(stores, server, rule.action, { vmState: ['active', 'paused', 'suspended', 'stopped'], taskState: 'any' })
      const metadata = change(server.metadata)
      if (Object.keys(metadata).length > MAX_METADATA_ITEMS)
        throw new DomainError('overQuota', `Maximum number of metadata items exceeds ${MAX_METADATA_ITEMS}`)
      await stores.servers.update(id, { metadata, updatedAt: clock.now() })
      await recordEvent(stores, caller, server, 'server.metadata', clock.now())
      return reply(metadata)
    })

  return {
    list: (caller: Caller, query: ServerList): Promise<Server[]> => listServers(deps, caller, query),

    /** With the volumes of each: one look-up for a page of any length. */
    async listDetail(caller: Caller, query: ServerList): Promise<ServerRecord[]> {
      const servers = await listServers(deps, caller, query)
      if (servers.length === 0) return []
      const attachments = await db.read.attachments.list(ANY, { where: { serverId: { in: servers.map((server) => server.id) } } })
      const hosts = caller.isAdmin ? await db.read.hosts.list(ANY) : []
      return servers.map((server) => ({
        server,
        hostStatus: hostStatus(caller, hosts, server),
        attachments: attachments.filter((attachment) => attachment.serverId === server.id).reverse(),
      }))
    },

    async show(caller: Caller, id: string): Promise<ServerRecord> {
      const server = await requireServer(db.read, caller, id)
      const hosts = caller.isAdmin ? await db.read.hosts.list(ANY, { where: { id: { is: server.hostId } } }) : []
      return { server, attachments: await attachmentsOf(db.read, id), hostStatus: hostStatus(caller, hosts, server) }
    },

    async update<R>(caller: Caller, id: string, change: ServerUpdate, reply: (record: ServerRecord) => R): Promise<R> {
      return db.transaction(async (stores) => {
        const server = await requireServer(stores, caller, id)
        requireWriter(caller, 'servers:update')
        const patch = { ...change, updatedAt: clock.now() }
        await stores.servers.update(id, patch)
        await recordEvent(stores, caller, server, 'server.update', patch.updatedAt)
        return reply({ server: { ...server, ...patch }, attachments: await attachmentsOf(stores, id), hostStatus: null })
      })
    },

    /** In any state; a second request while the first is at it is no error. `force` is Nova's forceDelete. */
    async remove<R>(caller: Caller, id: string, reply: () => R): Promise<R> {
      return accept(deps, undefined, async (stores, now) => {
        const server = await requireServer(stores, caller, id)
        requireWriter(caller, 'servers:delete')
        requireUnlocked(caller, server)
        if (server.taskState !== 'deleting') await startDeletion(stores, caller, server, now)
        return reply()
      })
    },

    replaceMetadata: <R>(caller: Caller, id: string, metadata: Metadata, reply: (all: Metadata) => R) =>
      changeMetadata(caller, id, { policy: 'server-metadata:update_all', action: 'update metadata' }, () => metadata, reply),

    mergeMetadata: <R>(caller: Caller, id: string, metadata: Metadata, reply: (all: Metadata) => R) =>
      changeMetadata(
        caller,
        id,
        { policy: 'server-metadata:create', action: 'update metadata' },
        (old) => ({ ...old, ...metadata }),
        reply,
      ),

    setMetadataItem: <R>(caller: Caller, id: string, item: Metadata, reply: (all: Metadata) => R) =>
      changeMetadata(caller, id, { policy: 'server-metadata:update', action: 'update metadata' }, (old) => ({ ...old, ...item }), reply),

    deleteMetadataItem: <R>(caller: Caller, id: string, key: string, reply: (all: Metadata) => R) =>
      changeMetadata(
        caller,
        id,
        { policy: 'server-metadata:delete', action: 'delete metadata' },
        (old) => {
          if (!Object.hasOwn(old, key)) throw new DomainError('notFound', 'Metadata item was not found')
          return Object.fromEntries(Object.entries(old).filter(([name]) => name !== key))
        },
        reply,
      ),
  }
}

function hostStatus(caller: Caller, hosts: readonly Host[], server: Server): ServerRecord['hostStatus'] {
  if (!caller.isAdmin) return null
  const host = hosts.find((one) => one.id === server.hostId)
  if (host === undefined) return 'UNKNOWN'
  return host.state === 'up' ? 'UP' : 'DOWN'
}

async function startDeletion(stores: Stores, caller: Caller, server: Server, now: number): Promise<void> {
  // Any state, but the one just read: whoever else changed it in between decides first.
  const any = { vmState: [server.vmState], taskState: 'any' as const }
  await moveServer(stores, server, 'delete', any, { taskState: 'deleting', updatedAt: now })
  await requireNoneProtected(stores, server)
  await recordAction(stores, caller, server, 'delete', { now })
  const diskIds = await disksOf(stores, server.id)
  await stores.jobs.enqueue(deleteServer, { serverId: server.id, diskIds }, enqueueOptions(caller, server))
}

/** Its snapshots go with it, and what is protected stays. Looked at with the server's row held, so that none comes to be meanwhile. */
async function requireNoneProtected(stores: Stores, server: Server): Promise<void> {
  const where = { serverId: { is: server.id }, protected: { is: true } }
  const kept = await stores.serverSnapshots.list(ANY, { where, sort: [{ key: 'seq', dir: 'asc' }] })
  if (kept.length === 0) return
  const names = kept.map(({ name }) => `"${name}"`).join(', ')
  throw new DomainError('invalidState', `Instance ${server.id} has protected snapshots, which would go with it: ${names}.`, {
    extra: { protected: kept.map(({ id, name }) => ({ id, name })) },
  })
}
