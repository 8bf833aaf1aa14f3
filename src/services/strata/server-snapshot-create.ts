/**
 * A server snapshot is accepted with all its rows: itself (`creating`), a part for each disk, the overlays that become
 * the disks' tops, its memory, and the job; the worker finds out whether the guest runs. Its place in the tree is the job's
 * to say: what is current may change while it waits.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Metadata } from '../../domain/metadata.js'
import type { Server } from '../../domain/server.js'
import type { ServerSnapshot, SnapshotKind } from '../../domain/server-snapshot.js'
import { type CapturedDisk, createServerSnapshot } from '../../domain/server-snapshot-operations.js'
import type { Quiesce } from '../../domain/snapshot.js'
import type { Micros } from '../../domain/time.js'
import { ANY, Duplicate, type Stores } from '../../ports/stores.js'
import { tooDeep } from '../chain-depth.js'
import type { ServiceDeps } from '../deps.js'
import { planLayer } from '../planned-layers.js'
import { planMemory } from '../planned-memory.js'
import { takeQuota } from '../quota.js'
import { allowMember, heldBy } from '../volume/access.js'
import { quiesceOf } from '../volume/snapshots.js'
import { type ChosenDisk, chooseDisks, type DiskChoice, kindOf } from './server-disks.js'
import { describeOne, recordSnapshotEvent, requireServer, type ServerSnapshotRecord, snapshotsOf } from './server-snapshots-common.js'

export interface NewServerSnapshot {
  /** Made up where it is not given. */
  readonly name?: string | undefined
  readonly description: string | null
  readonly kind?: SnapshotKind | undefined
  readonly memory: boolean
  /** What the server's image asks for where it is not given. */
  readonly quiesce?: Quiesce | undefined
  readonly disks: readonly DiskChoice[]
  readonly metadata: Metadata
  readonly protected: boolean
  readonly expiresAt: Micros | null
}

/** How often a made-up name is made up anew when another request was faster. */
const ATTEMPTS = 5
const CAPTURABLE: readonly Server['vmState'][] = ['active', 'paused', 'stopped', 'suspended']

export async function createSnapshotOfServer<R>(
  deps: Pick<ServiceDeps, 'db' | 'clock' | 'doorbell'>,
  caller: Caller,
  serverId: string,
  request: NewServerSnapshot,
  reply: (record: ServerSnapshotRecord, jobId: string) => R,
): Promise<R> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { answer, hostId } = await deps.db.transaction(async (stores) => {
        const server = await requireServer(stores, caller, serverId)
        allowMember(caller, 'server_snapshot:create')
        const { id, jobId } = await acceptSnapshot(stores, { caller, server, request, now: deps.clock.now() })
        return { answer: reply(await stored(stores, id), jobId), hostId: server.hostId }
      })
      deps.doorbell.ring(hostId)
      return answer
    } catch (error) {
      if (!(error instanceof Duplicate)) throw error
      if (request.name !== undefined) throw taken(serverId, request.name, error)
      if (attempt === ATTEMPTS) throw error
    }
  }
}

/** Inside the accepting transaction; also of those who first want the present kept. */
export async function acceptSnapshot(
  stores: Stores,
  { caller, server, request, now }: { caller: Caller; server: Server; request: NewServerSnapshot; now: Micros },
): Promise<{ id: string; jobId: string }> {
  checkExpiry(request.expiresAt, now)
  await requireCapturable(stores, server, request.memory)
  const kind = kindOf(request.kind, request.disks)
  const disks = await chooseDisks(stores, { server, kind, choices: request.disks })
  // Brought back beside a disk that has gone on, it would destroy what is on it.
  if (request.memory && request.disks.some(({ snapshot }) => snapshot === 'no'))
    throw new DomainError('invalid', 'Memory is kept with all disks of the server, or not at all.')
  await requireTops(stores, server, disks, kind)
  const deep =
    kind === 'external'
      ? await tooDeep(
          stores,
          disks.map(({ disk }) => disk),
        )
      : undefined
  if (deep !== undefined) throw new DomainError('invalidState', deep)
  const id = randomUUID()
  await takeQuota(
    stores,
    server.projectId,
    id,
    { snapshots: 1 },
    ({ limit }) => new DomainError('overQuota', `The project may have ${limit} snapshots and has them already.`),
  )
  const snapshot: Omit<ServerSnapshot, 'seq'> = {
    id,
    projectId: server.projectId,
    userId: caller.userId,
    serverId: server.id,
    name: await nameOf(stores, server.id, request.name, kind, now),
    description: request.description,
    status: 'creating',
    kind,
    withMemory: request.memory,
    parentId: null,
    powerState: null,
    metadata: request.metadata,
    report: null,
    protected: request.protected,
    expiresAt: request.expiresAt,
    createdAt: now,
    updatedAt: null,
  }
  await stores.serverSnapshots.insert(snapshot)
  const captured = await planParts(stores, { snapshot, disks, now })
  const memoryStateId = request.memory ? await planItsMemory(stores, { snapshot, server, disks, now }) : null
  const jobId = await stores.jobs.enqueue(
    createServerSnapshot,
    {
      serverSnapshotId: id,
      serverId: server.id,
      kind,
      quiesce: request.quiesce ?? (await quiesceOf(stores, server.id)),
      disks: captured,
      memoryStateId,
    },
    { hostId: server.hostId, origin: { projectId: server.projectId, userId: caller.userId, requestId: caller.requestId } },
  )
  await recordSnapshotEvent(
    stores,
    { projectId: server.projectId, id, kind: 'server_snapshot.create', payload: { serverId: server.id, kind, memory: request.memory } },
    now,
  )
  return { id, jobId }
}

async function stored(stores: Stores, id: string): Promise<ServerSnapshotRecord> {
  const snapshot = await stores.serverSnapshots.find(ANY, id)
  if (snapshot === undefined) throw new DomainError('internal', 'a server snapshot vanished in its own transaction')
  return await describeOne(stores, snapshot)
}

/** Holds the server's row until the commit: one request at a time, in the state it was read in. */
async function requireCapturable(stores: Stores, server: Server, memory: boolean): Promise<void> {
  const { id, vmState, taskState } = server
  const refuse = async (why: string) => new DomainError('invalidState', why, await heldBy(stores, `power:${id}`))
  if (!CAPTURABLE.includes(vmState)) throw await refuse(`Server ${id} is ${vmState}: no snapshot of it can be taken.`)
  if (taskState === 'deleting') throw await refuse(`Server ${id} is being deleted.`)
  if (memory && vmState !== 'active' && vmState !== 'paused') throw await refuse(`Server ${id} is ${vmState} and has no memory.`)
  if (memory && taskState !== null)
    throw await refuse(`Server ${id} is in task ${taskState}: its memory cannot be taken until that is over.`)
  if (!(await stores.servers.transition(id, { vmState: [vmState], taskState: [taskState] }, { vmState })))
    throw await refuse(`Server ${id} changed its state while it was looked at.`)
}

async function requireTops(stores: Stores, server: Server, disks: readonly ChosenDisk[], kind: SnapshotKind): Promise<void> {
  const tops = disks.flatMap(({ disk }) => (disk.topLayerId === null ? [] : [disk.topLayerId]))
  if (tops.length < disks.length) throw new DomainError('invalidState', `Server ${server.id} has disks that hold nothing yet.`)
  if (kind === 'external') return
  const layers = await stores.layers.list(ANY, { where: { id: { in: tops } } })
  const raw = disks.filter(({ disk }) => layers.find((layer) => layer.id === disk.topLayerId)?.format !== 'qcow2')
  if (raw.length > 0)
    throw new DomainError(
      'invalidState',
      `An internal snapshot needs qcow2 disks; raw are: ${raw.map(({ device }) => device).join(', ')}.`,
      { extra: { disks: raw.map(({ device }) => device) } },
    )
}

async function nameOf(stores: Stores, serverId: string, given: string | undefined, kind: SnapshotKind, now: Micros): Promise<string> {
  const used = new Set((await snapshotsOf(stores, serverId)).map((snapshot) => snapshot.name))
  if (given !== undefined) {
    if (used.has(given)) throw taken(serverId, given)
    return given
  }
  const stem = `${kind}-${Math.floor(now / 1_000_000)}`
  for (let count = 1; ; count++) {
    const name = count === 1 ? stem : `${stem}-${count}`
    if (!used.has(name)) return name
  }
}

interface Parts {
  readonly snapshot: Omit<ServerSnapshot, 'seq'>
  readonly disks: readonly ChosenDisk[]
  readonly now: Micros
}

async function planParts(stores: Stores, { snapshot, disks, now }: Parts): Promise<CapturedDisk[]> {
  const captured: CapturedDisk[] = []
  for (const { disk, device, volume, poolId } of disks) {
    const part = { diskSnapshotId: randomUUID(), diskId: disk.id, layerId: snapshot.kind === 'external' ? randomUUID() : null }
    await stores.diskSnapshots.insert({
      id: part.diskSnapshotId,
      projectId: snapshot.projectId,
      serverSnapshotId: snapshot.id,
      diskId: disk.id,
      volumeId: volume?.id ?? null,
      device,
      layerId: null,
      tag: null,
      virtualSize: disk.virtualSize,
      createdAt: now,
    })
    // What the overlay stands on is the top when the job runs: jobs accepted before may still put layers below it.
    if (part.layerId !== null)
      await planLayer(stores, { ...disk, poolId }, { id: part.layerId, parentId: null, virtualSize: disk.virtualSize }, now)
    captured.push(part)
  }
  return captured
}

/** Beside the first disk it belongs to. The format is what a running guest allows; the job says so if it was another. */
async function planItsMemory(stores: Stores, { snapshot, server, disks, now }: Parts & { server: Server }): Promise<string> {
  const id = randomUUID()
  await planMemory(
    stores,
    {
      id,
      projectId: snapshot.projectId,
      hostId: server.hostId,
      serverId: server.id,
      serverSnapshotId: snapshot.id,
      format: snapshot.kind === 'internal' ? 'tag' : server.vmState === 'paused' ? 'vmstate' : 'stream',
      poolId: disks[0]?.disk.poolId ?? '',
      resumeAtStart: false,
      wasRunning: server.vmState === 'active',
    },
    now,
  )
  return id
}

export const taken = (serverId: string, name: string, cause?: unknown): DomainError =>
  new DomainError('invalidState', `Server ${serverId} has a snapshot of the name "${name}" already.`, { cause })

export function checkExpiry(expiresAt: Micros | null, now: Micros): void {
  if (expiresAt !== null && expiresAt <= now) throw new DomainError('invalid', 'expires_at lies in the past.')
}
