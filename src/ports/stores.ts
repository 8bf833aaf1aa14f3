/**
 * What the inside needs of the database. One transaction = one call of `UnitOfWork`; everything done through
 * the `Stores` it hands out commits or vanishes together. `Unknown` outcomes (a lost COMMIT) are resolved inside.
 *
 * Tenancy (SEC-17): every look-up of a tenant's object takes a scope, and the scope is part of the SQL.
 * `ANY` is for the worker and for admins who asked for all tenants.
 */

import type { ChainPolicy } from '../domain/chain-policy.js'
import type { ChainLink } from '../domain/chain-rules.js'
import type { Disk, Layer, LayerState } from '../domain/disk.js'
import type { Host, Pool, Worker } from '../domain/host.js'
import type { Project, Role, RoleAssignment, Token, TokenHolder, User } from '../domain/identity.js'
import type { Image, ImageMember, ImageStatus } from '../domain/image.js'
import type { Job, Lease, StepRow } from '../domain/job.js'
import type { Artefact, Event, IdempotencyKey, InstanceAction, Message } from '../domain/ledger.js'
import type { MemoryState } from '../domain/memory-state.js'
import type { Descriptor, Lock } from '../domain/operation.js'
import type { Flavor, Keypair, Server } from '../domain/server.js'
import type { DiskSnapshot, ServerSnapshot, ServerSnapshotStatus } from '../domain/server-snapshot.js'
import type { Snapshot, SnapshotStatus } from '../domain/snapshot.js'
import type { Micros } from '../domain/time.js'
import type { Attachment, DefaultVolumeType, Volume, VolumeStatus, VolumeTransfer, VolumeType, VolumeTypeAccess } from '../domain/volume.js'

export const ANY = 'any' as const
export type Scope = typeof ANY | { readonly projectId: string }

/** One condition on a field; `contains` is a substring, `metadata` a set of pairs that must all be present. */
export type Condition =
  | { readonly is: string | number | boolean | null }
  | { readonly in: readonly (string | number)[] }
  | { readonly not: string | number | boolean | null }
  | { readonly contains: string }
  | { readonly pairs: Readonly<Record<string, string>> }
  | { readonly atLeast?: number; readonly atMost?: number }

export interface Query<T> {
  readonly where?: { readonly [K in keyof T]?: Condition }
  /** Ties are broken by `seq` in the direction of the last key. Default: newest first. */
  readonly sort?: readonly { readonly key: keyof T & string; readonly dir: 'asc' | 'desc' }[]
  /** Id of the last record of the previous page: must exist in scope, else the list throws DomainError notFound. */
  readonly after?: string
  readonly limit?: number
  readonly offset?: number
}

/** What each table offers. `seq` is given by the store. Patches name only what changes. */
export interface Records<T extends { id: string }> {
  insert(record: Omit<T, 'seq'>): Promise<void>
  find(scope: Scope, id: string): Promise<T | undefined>
  list(scope: Scope, query?: Query<T>): Promise<T[]>
  count(scope: Scope, where?: Query<T>['where']): Promise<number>
  update(id: string, patch: Partial<Omit<T, 'id' | 'seq'>>): Promise<void>
  remove(id: string): Promise<void>
}

/** Records with a status: it changes only from a named old one; false = it was not there any more. */
export interface Guarded<T extends { id: string }, S extends string> extends Records<T> {
  transition(id: string, from: readonly S[], patch: Partial<Omit<T, 'id' | 'seq'>>): Promise<boolean>
}

export interface TokenStore extends Records<Token> {
  /** With its user, project and roles (by name), in one look-up. */
  holder(id: string): Promise<TokenHolder | undefined>
}

export interface ServerStore extends Records<Server> {
  /** Compare-and-set on task and state together, as Nova's expected_task_state. */
  transition(
    id: string,
    expected: { vmState?: readonly Server['vmState'][]; taskState?: readonly Server['taskState'][] },
    patch: Partial<Omit<Server, 'id' | 'seq'>>,
  ): Promise<boolean>
}

export type LayerPin = 'snapshot' | 'disk_snapshot' | 'image' | 'disk' | 'server'

export interface LayerStore extends Guarded<Layer, LayerState> {
  /** From the layer itself down to its base. */
  chain(layerId: string): Promise<Layer[]>
  children(layerId: string): Promise<Layer[]>
  /** Every layer above this one. */
  descendants(layerId: string): Promise<Layer[]>
  /** Sealed or half merged layers of a pool that nobody pins. */
  unneeded(poolId: string): Promise<Layer[]>
  /** Its chain with what keeps each layer of it. */
  links(layerId: string): Promise<ChainLink[]>
  /** Who keeps a layer besides its children: snapshots, parts of server snapshots, images (own or as source), disks as top, servers that boot from it directly. */
  pins(layerId: string): Promise<{ kind: LayerPin; id: string }[]>
}

export interface Origin {
  readonly projectId: string
  readonly userId: string
  readonly requestId: string
}

export interface EnqueueOptions {
  /** The host that owns the disks. */
  readonly hostId: string
  readonly origin: Origin
  /** Locks beside those that follow from the input. */
  readonly locks?: readonly Lock[]
  readonly notBefore?: Micros
}

export interface Claim {
  job: Job
  lease: Lease
  /** The journal so far, by ordinal. Empty on the first attempt. */
  journal: StepRow[]
}

/** What a step's commit may say at once: this one is done (with its facts), that one is started. */
export interface JournalEntry {
  name: string
  kind: StepRow['kind']
  ordinal: number
  state: StepRow['state']
  facts?: Readonly<Record<string, unknown>>
  error?: string | null
}

export interface JobStore {
  /** A job beside the rows it is about, in the accepting transaction; returns its id. Ring the host's doorbell after the commit. */
  enqueue<I extends object>(descriptor: Descriptor<I>, input: I, options: EnqueueOptions): Promise<string>
  find(scope: Scope, id: string): Promise<Job | undefined>
  list(scope: Scope, query?: Query<Job>): Promise<Job[]>
  steps(jobId: string): Promise<StepRow[]>
  locks(jobId: string): Promise<Lock[]>
  /** The job that holds this lock, else the oldest unfinished one that wants it: what a 409 names. */
  holder(lock: Lock): Promise<Job | undefined>
  /** Unfinished jobs about one resource. */
  unfinished(resourceType: string, resourceId: string): Promise<Job[]>
  /**
   * Takes the oldest job that may run: queued and due, or running/undoing with an expired lease, on this host, with no
   * lock wanted by an older unfinished job (preemptible ones wait for all others; a running preemptible one that is in the
   * way gets `yieldRequested`). Compare-and-set; the token rises. `expiredOwner` names the worker a lease is taken from:
   * the caller must have ended it before it acts.
   */
  claim(options: {
    hostId: string
    workerId: string
    now: Micros
    leaseFor: Micros
    except: readonly string[]
  }): Promise<(Claim & { expiredOwner: string | null }) | undefined>
  /** Extends the leases of this worker, all or those of `only`; returns the ids of all it still holds. */
  renew(workerId: string, until: Micros, only?: readonly string[]): Promise<string[]>
  /** Flags other people set on a running job. */
  flags(jobId: string): Promise<{ cancelRequested: boolean; yieldRequested: boolean } | undefined>
  /** How fast an unfinished job that has a limit may move data; false: none of that kind. It follows while it runs. */
  limit(scope: Scope, jobId: string, bytesPerSecond: number): Promise<boolean>
  /** One that needs attention goes on, to be undone where it still can be. */
  requestCancel(scope: Scope, jobId: string): Promise<boolean>

  // Everything below is fenced: `WHERE lease_token = mine`; it throws LeaseLost if that matches no row.
  journal(lease: Lease, entries: readonly JournalEntry[]): Promise<void>
  state(lease: Lease, state: 'running' | 'undoing'): Promise<void>
  progress(lease: Lease, progress: Job['progress']): Promise<void>
  /** Ends the job and releases its locks (kept for needs_attention). */
  settle(lease: Lease, state: 'done' | 'failed' | 'cancelled' | 'needs_attention', error: Job['error']): Promise<void>
  /**
   * Back to the queue, due at `notBefore`; `locks` replaces the job's locks, `input` its input. A started job keeps what
   * it holds, but one that is to make way; that one too with `keep`: it could not be looked at, so nobody may touch it.
   */
  requeue(
    lease: Lease,
    options: { notBefore: Micros; error?: Job['error']; locks?: readonly Lock[]; input?: Job['input']; keep?: boolean },
  ): Promise<void>
  /** A finished or needs_attention job is tried again from its journal. */
  retry(scope: Scope, jobId: string): Promise<boolean>
}

export class LeaseLost extends Error {
  constructor(jobId: string) {
    super(`the lease of job ${jobId} is held by another worker`)
    this.name = 'LeaseLost'
  }
}

/** A unique name or id is taken already: two requests raced, or a caller did not look first. */
export class Duplicate extends Error {
  readonly table: string
  constructor(table: string, options?: { cause?: unknown }) {
    super(`a row like this is in ${table} already`, options)
    this.name = 'Duplicate'
    this.table = table
  }
}

export interface QuotaStore {
  limits(projectId: string): Promise<Record<string, number>>
  defaults(): Promise<Record<string, number>>
  setLimits(projectId: string, limits: Readonly<Record<string, number>>): Promise<void>
  setDefaults(limits: Readonly<Record<string, number>>): Promise<void>
  clearLimits(projectId: string): Promise<void>
  usage(projectId: string): Promise<Record<string, number>>
  /**
   * Reserves for one object; the first resource over its limit is returned and nothing is taken.
   * Resources: instances, cores, ram, volumes, gigabytes, snapshots, images. -1 = unlimited.
   */
  take(
    projectId: string,
    objectId: string,
    amounts: Readonly<Record<string, number>>,
  ): Promise<{ resource: string; limit: number; used: number; requested: number } | undefined>
  /**
   * What is taken for one object becomes exactly this, whatever the limits say by now: for what was promised already and
   * must be counted, after a change that came about or did not.
   */
  hold(projectId: string, objectId: string, amounts: Readonly<Record<string, number>>): Promise<void>
  /** Gives back all that was taken for one object; of nothing succeeds. */
  release(objectId: string): Promise<void>
}

export interface Stores {
  readonly hosts: Records<Host>
  readonly workers: Records<Worker>
  readonly pools: Records<Pool>
  readonly flavors: Records<Flavor>
  readonly servers: ServerStore
  readonly disks: Records<Disk>
  readonly layers: LayerStore
  readonly volumes: Guarded<Volume, VolumeStatus>
  readonly attachments: Guarded<Attachment, Attachment['status']>
  readonly volumeTypes: Records<VolumeType>
  readonly volumeTypeAccess: Records<VolumeTypeAccess>
  readonly defaultVolumeTypes: Records<DefaultVolumeType>
  readonly volumeTransfers: Records<VolumeTransfer>
  readonly keypairs: Records<Keypair>
  readonly snapshots: Guarded<Snapshot, SnapshotStatus>
  readonly serverSnapshots: Guarded<ServerSnapshot, ServerSnapshotStatus>
  readonly diskSnapshots: Records<DiskSnapshot>
  readonly memoryStates: Guarded<MemoryState, MemoryState['status']>
  readonly chainPolicies: Records<ChainPolicy>
  readonly images: ImageStore
  readonly imageMembers: Records<ImageMember>
  readonly projects: Records<Project>
  readonly users: Records<User>
  readonly roles: Records<Role>
  readonly roleAssignments: Records<RoleAssignment>
  readonly tokens: TokenStore
  readonly messages: Records<Message>
  readonly instanceActions: Records<InstanceAction>
  readonly events: Records<Event>
  readonly artefacts: Records<Artefact>
  readonly idempotencyKeys: Records<IdempotencyKey>
  readonly jobs: JobStore
  readonly quotas: QuotaStore
}

export interface ImageStore extends Guarded<Image, ImageStatus> {
  /** An image as this project may see it: own, public, community, or shared with it as a member. */
  findVisible(projectId: string, id: string): Promise<Image | undefined>
  /** Listing by Glance's rules: own + public + shared-and-accepted (or as `memberStatus` asks); community and hidden only if asked. */
  listVisible(
    projectId: string | typeof ANY,
    query: Query<Image> & {
      visibility?: Image['visibility'] | 'all'
      memberStatus?: ImageMember['status'] | 'all'
      tags?: readonly string[]
      properties?: Readonly<Record<string, string>>
    },
  ): Promise<Image[]>
}

export type UnitOfWork = <R>(work: (stores: Stores) => Promise<R>) => Promise<R>

export interface Database {
  /** One transaction. Retries deadlocks from the start: `work` must have no other effects. */
  readonly transaction: UnitOfWork
  /** Reads outside a transaction. */
  readonly read: Stores
  close(): Promise<void>
}
