/**
 * Plans begin with an outline: which layers deleting, reverting or consolidating would let go of, which snapshots would
 * go, how disks would go back, and what stands in the way. What it comes to is plan-bytes.ts's, once they are measured.
 */
import { chainOf } from './chain.js'
import type { Disk, Layer } from './disk.js'
import type { Letting, Scene } from './plan-scene.js'
import type { CapturedPower, DiskSnapshot, ServerSnapshot } from './server-snapshot.js'
import { type DeleteMode, judge, leavesFirst } from './snapshot-deletion.js'
import { descendantsIn } from './snapshot-tree.js'

export type Children = Letting['several']

export type PlanRequest =
  | { readonly kind: 'delete'; readonly id: string; readonly mode: DeleteMode; readonly children: Children }
  | {
      readonly kind: 'revert'
      readonly id: string
      /** As it was asked: null where it was not said. */
      readonly powerState: CapturedPower | null
      readonly memory: boolean | null
      readonly keepCurrent: boolean
    }
  | { readonly kind: 'consolidate'; readonly children: Children }

export interface Precondition {
  readonly name:
    | 'available'
    | 'unprotected'
    | 'no_children'
    | 'disks_attached'
    | 'power_state'
    | 'memory'
    | 'no_saved_state'
    | 'room'
    | 'files'
  readonly isMet: boolean
  /** Unmet, the request is refused; else it is put off, or less comes of it. */
  readonly refuses: boolean
  readonly sentence: string
}

/** What is known before anything is measured. */
export interface Outline {
  /** The scene in which layers are let go of: of a revert, the one with its new tops. */
  readonly scene: Scene
  readonly letting: Letting
  /** Snapshots that go, asked for or with those. */
  readonly going: readonly ServerSnapshot[]
  /** Whatever goes, or would go, without having been named. */
  readonly victims: readonly ServerSnapshot[]
  /** Disks that go back, and how. */
  readonly reverting: readonly {
    readonly part: DiskSnapshot
    readonly way: 'overlay' | 'in_place' | 'copy'
    readonly topLayerId: string | null
  }[]
  readonly restartsGuest: boolean
  readonly preconditions: readonly Precondition[]
}

const list = (all: readonly { readonly name: string }[]): string => all.map(({ name }) => `"${name}"`).join(', ')

export function outline(scene: Scene, request: PlanRequest): Outline {
  if (request.kind === 'delete') return outlineDelete(scene, request)
  return request.kind === 'revert' ? outlineRevert(scene, request) : outlineConsolidate(scene, request.children)
}

function outlineDelete(scene: Scene, { id, mode, children }: Extract<PlanRequest, { kind: 'delete' }>): Outline {
  const all = scene.snapshots
  const asked = all.filter((snapshot) => snapshot.id === id)
  const [snapshot] = asked
  const verdict = snapshot === undefined ? undefined : judge(all, snapshot, mode)
  const going =
    verdict?.kind === 'goes' ? verdict.all : mode === 'discard_force' ? [...descendantsIn(all, id).toReversed(), ...asked] : asked
  const named = (kind: 'busy' | 'protected' | 'victims'): readonly ServerSnapshot[] => (verdict?.kind === kind ? verdict.named : [])
  return {
    scene,
    letting: { ...lettingOf(scene, going), several: children },
    going,
    victims: [...named('victims'), ...going.filter((one) => one.id !== id)],
    reverting: [],
    restartsGuest: false,
    preconditions: [
      condition(
        'no_children',
        named('victims').length === 0,
        'Nothing is discarded unasked.',
        `Would go as well: ${list(named('victims'))}.`,
      ),
      condition('available', named('busy').length === 0, 'Nothing else works on what goes.', `Busy: ${list(named('busy'))}.`),
      condition('unprotected', named('protected').length === 0, 'Nothing of it is protected.', `Protected: ${list(named('protected'))}.`),
    ],
  }
}

function outlineRevert(scene: Scene, request: Extract<PlanRequest, { kind: 'revert' }>): Outline {
  const { server } = scene
  const target = scene.snapshots.filter((snapshot) => snapshot.id === request.id)
  const [snapshot] = target
  const own = partsOf(scene, target)
  const withMemory = request.memory ?? snapshot?.withMemory ?? false
  const isOn = scene.running.includes(server.id)
  const reverting = own.map((part) => {
    const topLayerId = scene.disks.find((disk) => disk.id === part.diskId)?.topLayerId ?? null
    return { part, way: part.tag === null ? 'overlay' : part.layerId === topLayerId ? 'in_place' : 'copy', topLayerId } as const
  })
  const powerState = request.powerState ?? (withMemory ? snapshot?.powerState : null) ?? 'stopped'
  const after = reverted(scene, reverting, powerState !== 'stopped')
  const away = own.filter((part) => scene.disks.find((disk) => disk.id === part.diskId)?.serverId !== server.id)
  const unloadable = memoryRefusal(scene, request.id, reverting)
  return {
    scene: after,
    // What was given up, and then whatever had to wait for the guest that is ended.
    letting: {
      layers: [...givenUp(reverting), ...unpinnedBelow(after, ownDisks(after)).map((one) => ({ ...one, isBelow: true }))],
      pins: [],
      several: 'share',
    },
    going: [],
    victims: [],
    reverting,
    restartsGuest: isOn || powerState !== 'stopped',
    preconditions: [
      condition('available', snapshot?.status === 'available', 'The snapshot is available.', `The snapshot is ${snapshot?.status}.`),
      condition(
        'disks_attached',
        away.length === 0,
        'Its disks are attached to the server.',
        `Not attached any more: ${away.map(({ device }) => device).join(', ')}.`,
      ),
      condition(
        'power_state',
        withMemory ? request.powerState !== 'stopped' : request.powerState !== null || !isOn,
        'What the server does afterwards is known.',
        withMemory
          ? 'A server that goes on from its memory is running or paused, not stopped.'
          : 'Without memory a server that is on starts anew or stays off: say which by power_state.',
      ),
      condition(
        'memory',
        !withMemory || unloadable === undefined,
        withMemory ? 'Its memory was saved with it.' : 'The memory is not asked for.',
        unloadable ?? '',
      ),
      condition(
        'no_saved_state',
        !scene.memory.some((memory) => memory.serverSnapshotId === null),
        'The server has no saved state.',
        'The server has a saved state: restore it or give it up first.',
      ),
    ],
  }
}

/** Memory fits the disks it was saved with, all of them and no others. */
function memoryRefusal(scene: Scene, snapshotId: string, reverting: Outline['reverting']): string | undefined {
  if (!scene.memory.some((memory) => memory.serverSnapshotId === snapshotId && memory.status === 'saved'))
    return 'It has no memory to go back to.'
  const disks = ownDisks(scene)
  if (disks.some((disk) => !reverting.some(({ part }) => part.diskId === disk.id)))
    return 'Its memory cannot be loaded: the server has disks it does not know.'
  const resized = reverting.filter(({ part }) => disks.some((disk) => disk.id === part.diskId && disk.virtualSize !== part.virtualSize))
  if (resized.length > 0) return `Its memory cannot be loaded: resized since: ${resized.map(({ part }) => part.device).join(', ')}.`
  if (reverting.some(({ way }) => way === 'copy')) return 'Its memory cannot be loaded: later snapshots were taken on top of it.'
  return undefined
}

function outlineConsolidate(scene: Scene, children: Children): Outline {
  const letting = { layers: unpinnedBelow(scene, ownDisks(scene)), pins: [], several: children }
  return { scene, letting, going: [], victims: [], reverting: [], restartsGuest: false, preconditions: [] }
}

const condition = (name: Precondition['name'], isMet: boolean, met: string, unmet: string): Precondition => ({
  name,
  isMet,
  refuses: true,
  sentence: isMet ? met : unmet,
})

const ownDisks = (scene: Scene): Disk[] => scene.disks.filter((disk) => disk.serverId === scene.server.id)

const partsOf = (scene: Scene, snapshots: readonly ServerSnapshot[]): DiskSnapshot[] =>
  snapshots.flatMap((snapshot) => scene.parts.filter((part) => part.serverSnapshotId === snapshot.id))

/** In the order in which the snapshots go, whatever grew from another before it: what goes with its child is dropped, not merged into it. */
function lettingOf(scene: Scene, going: readonly ServerSnapshot[]): Pick<Letting, 'layers' | 'pins'> {
  const parts = partsOf(scene, leavesFirst(scene.snapshots, going))
  const isThere = new Set(scene.layers.map((layer) => layer.id))
  const pins = parts.map((part) => part.id)
  const layers = parts.flatMap(({ diskId, layerId, tag }) =>
    layerId !== null && isThere.has(layerId) ? [{ diskId, layerId, isTag: tag !== null }] : [],
  )
  const freed = layers.filter(
    ({ isTag, layerId }) => isTag && !scene.parts.some((part) => part.layerId === layerId && part.tag !== null && !pins.includes(part.id)),
  )
  const below = unpinnedBelow(
    scene,
    freed.map(({ diskId, layerId }) => ({ id: diskId, topLayerId: layerId })),
  )
  return { layers: [...layers, ...below.map((one) => ({ ...one, isBelow: true }))], pins }
}

type Back = Outline['reverting'][number]

const newTop = ({ part }: Back): string => `new top of ${part.diskId}`
const givenUp = (reverting: readonly Back[]): Letting['layers'] =>
  reverting.flatMap(({ part, way, topLayerId }) =>
    topLayerId === null || way === 'in_place' ? [] : [{ diskId: part.diskId, layerId: topLayerId }],
  )

/** As the tables are after the pivot: the old tops sealed, and new, empty ones on what the snapshot pins. */
function reverted(scene: Scene, reverting: readonly Back[], isOn: boolean): Scene {
  const moving = reverting.filter(({ way }) => way !== 'in_place')
  const byId = new Map(scene.layers.map((layer) => [layer.id, layer]))
  const tops = moving.flatMap((back): Layer[] => {
    const below = byId.get(back.part.layerId ?? '')
    if (below === undefined) return []
    const parentId = back.way === 'overlay' ? below.id : below.parentId
    return [{ ...below, id: newTop(back), parentId, format: 'qcow2', state: 'top', origin: 'disk' }]
  })
  const old = new Map(moving.map((back) => [back.topLayerId, back.part.diskId]))
  const sealed = scene.layers.map((layer) => (old.has(layer.id) && layer.state === 'top' ? { ...layer, state: 'sealed' as const } : layer))
  const pins = { ...scene.pins }
  for (const [layerId, diskId] of old) if (layerId !== null) pins[layerId] = (pins[layerId] ?? []).filter((pin) => pin !== diskId)
  for (const back of moving) pins[newTop(back)] = [back.part.diskId]
  const disks = scene.disks.map((disk) => {
    const back = moving.find(({ part }) => part.diskId === disk.id)
    return back === undefined ? disk : { ...disk, topLayerId: newTop(back) }
  })
  const others = scene.running.filter((id) => id !== scene.server.id)
  return { ...scene, layers: [...sealed, ...tops], pins, disks, running: isOn ? [...others, scene.server.id] : others }
}

/** Layers below the tops of these disks that nobody keeps: merges of them were put off, or several stand on them. */
function unpinnedBelow(scene: Scene, disks: readonly Pick<Disk, 'id' | 'topLayerId'>[]): Letting['layers'] {
  return disks.flatMap(({ id: diskId, topLayerId }) => {
    const below = topLayerId === null ? [] : chainOf(scene.layers, topLayerId).slice(1)
    return below
      .filter((layer) => layer.origin === 'disk' && layer.state !== 'top' && (scene.pins[layer.id] ?? []).length === 0)
      .map((layer) => ({ diskId, layerId: layer.id }))
  })
}
