/**
 * create-server-snapshot: chosen disks of a server at one instant, as sealed layers (external) or as tags inside their tops
 * (internal). It becomes the child of the server's current snapshot, and the current one itself.
 *
 *     external   base ◄── top (sealed, pinned) ◄── overlay       internal   base ◄── top {tag, pinned}
 *                                                   ▲ guest writes                    ▲ guest writes
 */
import { tagName } from '../domain/names.js'
import type { Server } from '../domain/server.js'
import type { CapturedPower } from '../domain/server-snapshot.js'
import { type CreateServerSnapshotInput, createServerSnapshot } from '../domain/server-snapshot-operations.js'
import { ANY, type Stores } from '../ports/stores.js'
import { heldServer } from '../steps/forget-snapshots.js'
import type { Journal, Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { strategyOf } from '../strategies/select.js'
import type { Capture } from '../strategies/strategy.js'
import { forgetPlanned, isBroken, recordSwitch, recordTags, reportOf } from './capture.js'
import { forgetMemory } from './memory-parts.js'
import { retire } from './retire.js'
import { shorten } from './shorten.js'
import { tellEvent, tellUser } from './tell.js'

const TOO_EARLY = 'The guest did not stay frozen until its disks were captured.'
const NO_MEMORY = 'The memory of the server was lost before it was kept.'

export const createServerSnapshotOperation: Operation<CreateServerSnapshotInput, Tools> = {
  descriptor: createServerSnapshot,
  plan: (input) => {
    const capture = captureOf(input)
    return {
      ...strategyOf(input.kind, input.memoryStateId !== null).create(capture),
      async settle(_, stores, journal) {
        const sealed = await recordSwitch(stores, capture.switches)
        const captured = new Map([...sealed, ...(await recordTags(stores, capture.tagged?.diskIds ?? []))])
        const report = await reportOf(stores, journal, capture)
        const lost = input.memoryStateId !== null && report.reached !== 'memory'
        const failure = lost ? NO_MEMORY : isBroken(report) ? TOO_EARLY : undefined
        const broken = failure !== undefined
        const server = await heldServer(stores, input.serverId)
        const patch = {
          status: broken ? 'error' : 'available',
          parentId: broken ? null : (server?.currentSnapshotId ?? null),
          powerState: powerOf(server),
          report,
          updatedAt: journal.now,
        } as const
        const taken = await stores.serverSnapshots.transition(input.serverSnapshotId, ['creating'], patch)
        // A switch cannot be taken back: the overlay stays as a plain layer, what it sealed is nobody's. A tag goes with its snapshot.
        if (taken) await recordParts(stores, input, broken ? withoutThose(captured, sealed) : captured)
        if (!taken || broken) for (const layerId of sealed.values()) await retire(stores, layerId, journal)
        if (broken) {
          if (input.memoryStateId !== null) await forgetMemory(stores, input.memoryStateId)
          await tellFailure(stores, journal, input, failure)
          return journal.fail(failure)
        }
        if (!taken) return
        await stores.servers.update(input.serverId, { currentSnapshotId: input.serverSnapshotId })
        await tell(stores, journal, input, 'available')
        await shorten(stores, [...sealed.keys()], journal)
      },
      async abandon(_, stores, journal, { sentence }) {
        await stores.serverSnapshots.transition(input.serverSnapshotId, ['creating'], { status: 'error', updatedAt: journal.now })
        await forgetPlanned(
          stores,
          capture.switches.map((one) => one.layerId),
          journal,
        )
        if (input.memoryStateId !== null) await forgetMemory(stores, input.memoryStateId)
        await tellFailure(stores, journal, input, sentence)
      },
    }
  },
}

const captureOf = ({ serverSnapshotId, serverId, kind, quiesce, disks, memoryStateId }: CreateServerSnapshotInput): Capture => ({
  serverId,
  switches: disks.flatMap(({ diskId, layerId }) => (layerId === null ? [] : [{ diskId, layerId }])),
  ...(kind === 'external' ? {} : { tagged: { tag: tagName(serverSnapshotId), diskIds: disks.map(({ diskId }) => diskId) } }),
  ...(memoryStateId === null ? {} : { memoryStateId }),
  quiesce,
})

/** What the tables say: the job holds the server's power. */
const powerOf = (server: Server | undefined): CapturedPower =>
  server?.vmState === 'active' ? 'running' : server?.vmState === 'paused' ? 'paused' : 'stopped'

const withoutThose = (captured: ReadonlyMap<string, string>, sealed: ReadonlyMap<string, string>): Map<string, string> =>
  new Map([...captured].filter(([diskId]) => !sealed.has(diskId)))

async function recordParts(stores: Stores, input: CreateServerSnapshotInput, layers: ReadonlyMap<string, string>): Promise<void> {
  const tag = input.kind === 'internal' ? tagName(input.serverSnapshotId) : null
  for (const { diskSnapshotId, diskId } of input.disks) {
    const layerId = layers.get(diskId)
    const disk = await stores.disks.find(ANY, diskId)
    if (layerId === undefined || disk === undefined) continue
    await stores.diskSnapshots.update(diskSnapshotId, { layerId, tag, virtualSize: disk.virtualSize })
  }
}

async function tellFailure(stores: Stores, journal: Journal, input: CreateServerSnapshotInput, sentence: string): Promise<void> {
  const projectId = await tell(stores, journal, input, 'error', { sentence })
  const about = { type: 'SERVER_SNAPSHOT', id: input.serverSnapshotId, action: 'create snapshot', sentence } as const
  if (projectId !== undefined) await tellUser(stores, journal, { projectId, ...about })
}

/** Whose it is; undefined when it is gone. */
async function tell(
  stores: Stores,
  journal: Journal,
  input: CreateServerSnapshotInput,
  what: 'available' | 'error',
  payload: Readonly<Record<string, unknown>> = {},
): Promise<string | undefined> {
  const id = input.serverSnapshotId
  const snapshot = await stores.serverSnapshots.find(ANY, id)
  if (snapshot === undefined) return undefined
  const about = { projectId: snapshot.projectId, type: 'server_snapshot', id, kind: `server_snapshot.${what}` } as const
  await tellEvent(stores, journal, { ...about, payload: { serverId: input.serverId, ...payload } })
  return snapshot.projectId
}
