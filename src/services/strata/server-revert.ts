/**
 * A server goes back to one of its snapshots. Accepted with all that can be known now: the state the server is in, where the
 * disks of the snapshot are, and what the server is to do afterwards; the worker looks again before it touches anything.
 * What was written since is given up, unless the caller first wants it kept in a snapshot of its own.
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Server } from '../../domain/server.js'
import type { CapturedPower, DiskSnapshot, ServerSnapshot } from '../../domain/server-snapshot.js'
import { type RevertedDisk, type RevertServerInput, revertServer } from '../../domain/server-snapshot-operations.js'
import type { Micros } from '../../domain/time.js'
import { ANY, Duplicate, type Stores } from '../../ports/stores.js'
import { type Allowed, disksOf, enqueueOptions, moveServer, recordAction, requireUnlocked } from '../compute/servers-common.js'
import type { ServiceDeps } from '../deps.js'
import { planLayer } from '../planned-layers.js'
import { allowMember, heldBy } from '../volume/access.js'
import { requirePlan } from './plan-scene.js'
import { acceptSnapshot } from './server-snapshot-create.js'
import { describeOne, requireServer, requireServerSnapshot, type ServerSnapshotRecord } from './server-snapshots-common.js'

export interface RevertRequest {
  readonly powerState?: CapturedPower | undefined
  /** Go on where it was, where that is not said if the snapshot has memory. */
  readonly memory?: boolean | undefined
  readonly keepCurrent: boolean
  /** Hash of a plan: refused if the world is not the one it was made for. */
  readonly plan?: string | undefined
}

export interface AcceptedRevert {
  readonly record: ServerSnapshotRecord
  readonly jobId: string
  readonly powerState: CapturedPower
  readonly withMemory: boolean
  /** The snapshot of the present, and the job that takes it. */
  readonly kept: { readonly id: string; readonly jobId: string } | null
}

export type ServerRevertService = ReturnType<typeof createServerRevertService>

const ALLOWED: Allowed = { vmState: ['active', 'paused', 'stopped'] }
/** How often a made-up name of the kept snapshot is made up anew when another request was faster. */
const ATTEMPTS = 5

export const createServerRevertService = (deps: Pick<ServiceDeps, 'db' | 'clock' | 'doorbell'>) => ({
  async revert<R>(caller: Caller, snapshotId: string, request: RevertRequest, reply: (accepted: AcceptedRevert) => R): Promise<R> {
    for (let attempt = 1; ; attempt++) {
      try {
        const { answer, hostId } = await deps.db.transaction(async (stores) => {
          const snapshot = await requireServerSnapshot(stores, caller, snapshotId)
          const server = await requireServer(stores, caller, snapshot.serverId)
          allowMember(caller, 'server_snapshot:revert')
          const { powerState = null, memory = null, keepCurrent, plan } = request
          await requirePlan(stores, server, { kind: 'revert', id: snapshotId, powerState, memory, keepCurrent }, plan)
          const accepted = await accept(stores, { caller, server, snapshot, request, now: deps.clock.now() })
          return { answer: reply(accepted), hostId: server.hostId }
        })
        deps.doorbell.ring(hostId)
        return answer
      } catch (error) {
        if (!(error instanceof Duplicate) || attempt === ATTEMPTS) throw error
      }
    }
  },
})

interface Wish {
  readonly caller: Caller
  readonly server: Server
  readonly snapshot: ServerSnapshot
  readonly request: RevertRequest
  readonly now: Micros
}

async function accept(stores: Stores, wish: Wish): Promise<AcceptedRevert> {
  const { caller, server, snapshot, request, now } = wish
  requireUnlocked(caller, server)
  const gone = `Server snapshot ${snapshot.id} is ${snapshot.status}: only an available one can be gone back to.`
  if (snapshot.status !== 'available') throw await conflict(stores, server, gone)
  await requireNothingSaved(stores, server)
  const parts = await requireParts(stores, server, snapshot)
  const withMemory = request.memory ?? snapshot.withMemory
  if (withMemory) await requireMemory(stores, wish, parts)
  const powerState = powerOf(wish, withMemory)
  // While the server is still what it is: the kept snapshot is taken of it as it runs.
  const kept = request.keepCurrent ? await keep(stores, wish, { parts, withMemory }) : null
  await moveServer(stores, server, 'revert', ALLOWED, { taskState: 'rebuilding', updatedAt: now })
  if (!(await stores.serverSnapshots.transition(snapshot.id, ['available'], { status: 'reverting', updatedAt: now })))
    throw await conflict(stores, server, gone)
  await recordAction(stores, caller, server, 'revert', { now })
  const input: RevertServerInput = {
    serverId: server.id,
    serverSnapshotId: snapshot.id,
    diskIds: await disksOf(stores, server.id),
    disks: await planTops(stores, parts, now),
    layerIds: parts.flatMap(({ layerId }) => layerId ?? []),
    powerState,
    withMemory,
    keptIn: kept?.id ?? null,
  }
  const jobId = await stores.jobs.enqueue(revertServer, input, enqueueOptions(caller, server))
  const reverting = await requireServerSnapshot(stores, caller, snapshot.id)
  return { record: await describeOne(stores, reverting), jobId, powerState, withMemory, kept }
}

/** Its memory fits the disks as they are and no others. */
async function requireNothingSaved(stores: Stores, server: Server): Promise<void> {
  const saved = await stores.memoryStates.count(ANY, { serverId: { is: server.id }, serverSnapshotId: { is: null } })
  if (saved > 0 || server.vmState === 'suspended')
    throw await conflict(stores, server, `Server ${server.id} has a saved state: restore it, or give it up first.`)
}

async function requireParts(stores: Stores, server: Server, snapshot: ServerSnapshot): Promise<DiskSnapshot[]> {
  const where = { serverSnapshotId: { is: snapshot.id } }
  const parts = await stores.diskSnapshots.list(ANY, { where, sort: [{ key: 'seq', dir: 'asc' }] })
  const disks = await stores.disks.list(ANY, { where: { serverId: { is: server.id } } })
  const away = parts.filter(({ diskId }) => disks.find((disk) => disk.id === diskId)?.topLayerId == null)
  if (away.length > 0)
    throw new DomainError(
      'invalidState',
      `Server ${server.id} has disks of the snapshot no more: ${away.map(nameOf).join(', ')}. Attach them again first.`,
      { extra: { disks: away.map(({ device, diskId, volumeId }) => ({ device, disk_id: diskId, volume_id: volumeId })) } },
    )
  return parts
}

const nameOf = ({ device, volumeId }: DiskSnapshot): string => (volumeId === null ? device : `${device} (volume ${volumeId})`)

/** What the worker would refuse, as far as the tables know it. */
async function requireMemory(stores: Stores, { server, snapshot }: Wish, parts: readonly DiskSnapshot[]): Promise<void> {
  const refuse = (why: string, extra: Readonly<Record<string, unknown>> = {}) =>
    new DomainError('invalidState', `${why} Its disks alone can be gone back to: say memory false and a power_state.`, { extra })
  const saved = await stores.memoryStates.count(ANY, { serverSnapshotId: { is: snapshot.id }, status: { is: 'saved' } })
  if (saved === 0) throw refuse(`Server snapshot ${snapshot.id} has no memory.`)
  const disks = await stores.disks.list(ANY, { where: { serverId: { is: server.id } } })
  const added = disks.filter((disk) => !parts.some((part) => part.diskId === disk.id))
  if (added.length > 0) throw refuse(`Server ${server.id} has disks that the memory of the snapshot does not know.`)
  const of = (part: DiskSnapshot) => disks.find((disk) => disk.id === part.diskId)
  const resized = parts.filter((part) => of(part)?.virtualSize !== part.virtualSize)
  if (resized.length > 0) throw refuse(`Resized since the snapshot was taken: ${resized.map(nameOf).join(', ')}.`)
  const sealed = parts.filter((part) => part.tag !== null && of(part)?.topLayerId !== part.layerId)
  if (sealed.length === 0) return
  const later = await takenOnTop(stores, sealed)
  const names = later.length === 0 ? '' : `: ${later.map(({ name }) => `"${name}"`).join(', ')}`
  throw refuse(`Its memory is below what was sealed since${names}.`, { snapshots: later.map(({ id }) => id) })
}

/** Those whose parts are sealed layers of these disks, at or above the tags. */
async function takenOnTop(stores: Stores, sealed: readonly DiskSnapshot[]): Promise<ServerSnapshot[]> {
  const layerIds = new Set<string>()
  for (const { layerId } of sealed) {
    if (layerId === null) continue
    for (const id of [layerId, ...(await stores.layers.descendants(layerId)).map((layer) => layer.id)]) layerIds.add(id)
  }
  const where = { diskId: { in: sealed.map(({ diskId }) => diskId) }, tag: { is: null }, layerId: { in: [...layerIds] } }
  const ids = (await stores.diskSnapshots.list(ANY, { where })).map((part) => part.serverSnapshotId)
  return ids.length === 0 ? [] : await stores.serverSnapshots.list(ANY, { where: { id: { in: ids } } })
}

/** Disks do not change under a running guest: whether it starts anew is for the caller to say. */
function powerOf({ server: { vmState }, snapshot, request: { powerState } }: Wish, withMemory: boolean): CapturedPower {
  if (withMemory) {
    if (powerState === 'stopped')
      throw new DomainError('invalid', 'A server that goes on from its memory is running or paused, not stopped.')
    return powerState ?? (snapshot.powerState === 'paused' ? 'paused' : 'running')
  }
  if (powerState !== undefined) return powerState
  if (vmState === 'stopped') return 'stopped'
  throw new DomainError(
    'invalid',
    'power_state is required: the server is not off, and going back to its disks alone ends what it is doing. Say running, paused or stopped.',
  )
}

interface Keeping {
  readonly parts: readonly DiskSnapshot[]
  readonly withMemory: boolean
}

/**
 * With memory where memory is gone back to and the server has any. Of the same kind as what is gone back to where that is a
 * tag in the disks' tops: sealing those would cost a copy of each, and the memory in them.
 */
async function keep(stores: Stores, { caller, server, snapshot, now }: Wish, { parts, withMemory }: Keeping) {
  const tops = await stores.disks.list(ANY, { where: { id: { in: parts.map(({ diskId }) => diskId) } } })
  const inPlace = parts.some(({ tag, layerId }) => tag !== null && tops.some((disk) => disk.topLayerId === layerId))
  const request = {
    description: `Before going back to ${snapshot.name}.`,
    kind: inPlace ? ('internal' as const) : ('external' as const),
    memory: withMemory && server.vmState !== 'stopped',
    disks: [],
    metadata: {},
    protected: false,
    expiresAt: null,
  }
  return await acceptSnapshot(stores, { caller, server, request, now })
}

/** As large as the disk is now, or as it was then if that is more: the worker says so when it makes them. */
async function planTops(stores: Stores, parts: readonly DiskSnapshot[], now: Micros): Promise<RevertedDisk[]> {
  const planned: RevertedDisk[] = []
  for (const { id: diskSnapshotId, diskId, virtualSize } of parts) {
    const disk = await stores.disks.find(ANY, diskId)
    if (disk === undefined) throw new DomainError('internal', 'a disk vanished in the transaction that found it')
    const layerId = randomUUID()
    await planLayer(stores, disk, { id: layerId, parentId: null, virtualSize: Math.max(disk.virtualSize, virtualSize) }, now)
    planned.push({ diskSnapshotId, diskId, layerId })
  }
  return planned
}

const conflict = async (stores: Stores, server: Server, sentence: string): Promise<DomainError> =>
  new DomainError('invalidState', sentence, await heldBy(stores, `power:${server.id}`))
