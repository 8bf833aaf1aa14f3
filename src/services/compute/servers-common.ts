/**
 * What every compute service shares: finding a server within the caller's scope, Nova's rules on who may change it
 * and in which state, and the rows that accompany an accepted action (instance action, event). State is changed only
 * by compare-and-set on vm_state and task_state inside the accepting transaction.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Lock } from '../../domain/operation.js'
import type { Server, ServerTask, VmState } from '../../domain/server.js'
import type { Micros } from '../../domain/time.js'
import type { Clock } from '../../ports/clock.js'
import type { Doorbell } from '../../ports/doorbell.js'
import { ANY, type Database, type EnqueueOptions, type Scope, type Stores } from '../../ports/stores.js'
import { heldBy } from '../volume/access.js'

export interface ComputeDeps {
  readonly db: Database
  readonly doorbell: Doorbell
  readonly clock: Clock
  readonly settings: ComputeSettings
}

export interface ComputeSettings {
  /** The host new servers are placed on. */
  readonly hostId: string
}

/** Metadata items a server or an image may carry. */
export const MAX_METADATA_ITEMS = 128

export const scopeOf = (caller: Caller): Scope => (caller.isAdmin ? ANY : { projectId: caller.projectId })

export const serverNotFound = (id: string) => new DomainError('notFound', `Instance ${id} could not be found.`)

export async function requireServer(stores: Stores, caller: Caller, id: string): Promise<Server> {
  const server = await stores.servers.find(scopeOf(caller), id)
  if (server === undefined || server.vmState === 'deleted') throw serverNotFound(id)
  return server
}

/** Written before it is read: what is put together from what is there must not lose what another request adds meanwhile. */
export async function holdServer({ clock }: Pick<ComputeDeps, 'clock'>, stores: Stores, caller: Caller, id: string): Promise<Server> {
  await stores.servers.update(id, { updatedAt: clock.now() })
  return await requireServer(stores, caller, id)
}

/** Readers look, they do not touch. `policy` is Nova's name of the rule. */
export function requireWriter(caller: Caller, policy: string): void {
  if (!caller.isAdmin && !caller.roles.includes('member')) throw forbidden(policy)
}

export function requireAdmin(caller: Caller, policy: string): void {
  if (!caller.isAdmin) throw forbidden(policy)
}

const forbidden = (policy: string) => new DomainError('forbidden', `Policy doesn't allow os_compute_api:${policy} to be performed.`)

export function requireUnlocked(caller: Caller, server: Server): void {
  if (server.locked && !caller.isAdmin) throw new DomainError('invalidState', `Instance ${server.id} is locked`)
}

export interface Allowed {
  readonly vmState: readonly VmState[]
  /** Default: no task at all. 'any': not looked at. */
  readonly taskState?: readonly (ServerTask | null)[] | 'any'
}

/** Nova's check_instance_state: first the VM's state, then its task. A 409 names the job that is in the way. */
export async function requireState(stores: Stores, server: Server, action: string, allowed: Allowed): Promise<void> {
  const attribute = offending(server, allowed)
  if (attribute === undefined) return
  const state = attribute === 'vm_state' ? server.vmState : (server.taskState ?? 'None')
  throw new DomainError(
    'invalidState',
    `Cannot '${action}' instance ${server.id} while it is in ${attribute} ${state}`,
    await heldBy(stores, `power:${server.id}`),
  )
}

function offending(server: Server, allowed: Allowed): 'vm_state' | 'task_state' | undefined {
  if (!allowed.vmState.includes(server.vmState)) return 'vm_state'
  const tasks = allowed.taskState ?? [null]
  return tasks === 'any' || tasks.includes(server.taskState) ? undefined : 'task_state'
}

/** Moves the server from exactly the state it was read in; a state that has changed in between is told as Nova does. */
export async function moveServer(
  stores: Stores,
  server: Server,
  action: string,
  allowed: Allowed,
  patch: Partial<Server>,
): Promise<Server> {
  await requireState(stores, server, action, allowed)
  const expected = { vmState: [server.vmState], taskState: [server.taskState] }
  if (await stores.servers.transition(server.id, expected, patch)) return { ...server, ...patch }
  const now = await stores.servers.find(ANY, server.id)
  if (now === undefined || now.vmState === 'deleted') throw serverNotFound(server.id)
  await requireState(stores, now, action, allowed)
  throw new DomainError('invalidState', `Cannot '${action}' instance ${server.id} while it is in task_state ${now.taskState ?? 'None'}`)
}

/** The instance action and the event of an accepted request. `done`: nothing is left for a worker. */
export async function recordAction(
  stores: Stores,
  caller: Caller,
  server: { id: string; projectId: string },
  action: string,
  options: { now: Micros; done?: boolean },
): Promise<void> {
  await stores.instanceActions.insert({
    id: randomUUID(),
    serverId: server.id,
    projectId: server.projectId,
    userId: caller.userId,
    action,
    requestId: caller.requestId,
    message: null,
    startedAt: options.now,
    updatedAt: options.now,
    finishedAt: options.done === true ? options.now : null,
  })
  await recordEvent(stores, caller, server, `server.${action}`, options.now)
}

export async function recordEvent(
  stores: Stores,
  caller: Caller,
  server: { id: string; projectId: string },
  kind: string,
  now: Micros,
): Promise<void> {
  await stores.events.insert({
    id: randomUUID(),
    projectId: server.projectId,
    resourceType: 'server',
    resourceId: server.id,
    kind,
    payload: { requestId: caller.requestId, userId: caller.userId },
    createdAt: now,
  })
}

export function enqueueOptions(caller: Caller, server: { hostId: string; projectId: string }, locks: readonly Lock[] = []): EnqueueOptions {
  return {
    hostId: server.hostId,
    origin: { projectId: server.projectId, userId: caller.userId, requestId: caller.requestId },
    locks,
  }
}

/** The disks a server has now, its root first, then by device name. */
export async function disksOf(stores: Stores, serverId: string): Promise<string[]> {
  const attachments = await attachmentsOf(stores, serverId)
  const roots = await stores.disks.list(ANY, { where: { serverId: { is: serverId }, kind: { is: 'root' } } })
  return [...roots.map((disk) => disk.id), ...attachments.map((attachment) => attachment.diskId)]
}

/** The volumes of a server in the order of their devices: vda, vdb, …, vdz, vdaa. */
export async function attachmentsOf(stores: Stores, serverId: string) {
  const attachments = await stores.attachments.list(ANY, { where: { serverId: { is: serverId } } })
  return attachments.sort((a, b) => a.device.length - b.device.length || (a.device < b.device ? -1 : 1))
}

/** One answer built inside the accepting transaction, and the worker woken after it. */
export async function accept<R>(
  deps: ComputeDeps,
  hostOf: string | undefined,
  work: (stores: Stores, now: Micros) => Promise<R>,
): Promise<R> {
  const answer = await deps.db.transaction((stores) => work(stores, deps.clock.now()))
  deps.doorbell.ring(hostOf ?? deps.settings.hostId)
  return answer
}
