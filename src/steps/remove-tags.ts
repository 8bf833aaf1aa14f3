/**
 * Forward: the tags of snapshots that are given up leave the layers they are in, as far as those can be reached: the top of
 * a running disk through its QEMU, a layer nobody has open with a tool. What cannot be is left: dead bytes, until the layer
 * goes or a later deletion finds it reachable, for each takes along what nobody's row names any more.
 *
 * The disks' chains are this job's, so no guest opens a layer below them meanwhile. A layer that others reach is not touched.
 */
import { dirname } from 'node:path'
import type { Layer } from '../domain/disk.js'
import { AdapterError, refused } from '../domain/errors.js'
import { formatNode, isTagName } from '../domain/names.js'
import type { BlockHost, LayerFile } from '../ports/block.js'
import { ANY, type Stores } from '../ports/stores.js'
import { fileOf, liveDisk, readersOf } from './places.js'
import type { ForwardBrick, Tools, UndoableBrick } from './tools.js'

type Reach = { readonly live: BlockHost; readonly node: string } | { readonly closed: LayerFile }

/** What QEMU writes to give up a tag beside another is a cluster or two. */
const ROOM = 1024 * 1024

/**
 * Where there is no room to give up a tag it would stay, and with it all it holds, with no row left to ask for it again. Of a
 * server that is gone nobody could ask again anyway.
 */
export const roomForTags = (serverId: string, serverSnapshotIds: readonly string[]): UndoableBrick => ({
  kind: 'undoable',
  name: 'look-for-room',
  probe: async () => 'absent',
  async apply(_, tools) {
    const server = await tools.db.read.servers.find(ANY, serverId)
    if (server === undefined || server.vmState === 'deleted') return
    for (const layer of await taggedLayers(tools.db.read, serverSnapshotIds))
      if ((await tools.files.free(dirname((await fileOf(tools.db.read, layer)).path))) < ROOM)
        throw refused('the pool has no room to give up an internal snapshot', { reason: 'no-space' })
  },
  undo: async () => {},
})

export const removeTags = (serverSnapshotIds: readonly string[], diskIds: readonly string[]): ForwardBrick => ({
  kind: 'forward',
  name: 'remove-tags',
  // Found begun after a crash: what a killed writer had half counted is put right before anything is asked of it again.
  async probe(_, tools) {
    for (const layer of await taggedLayers(tools.db.read, serverSnapshotIds)) {
      const reach = await reachOf(tools, layer, diskIds)
      if (reach !== undefined && 'closed' in reach) await unlessRefused(() => tools.files.mend(reach.closed))
    }
    return 'absent'
  },
  async apply(_, tools) {
    const left: string[] = []
    for (const layer of await taggedLayers(tools.db.read, serverSnapshotIds)) {
      const reach = await reachOf(tools, layer, diskIds)
      const isRid = reach !== undefined && (await unlessRefused(async () => await rid(tools, layer, reach, serverSnapshotIds)))
      if (!isRid) left.push(layer.id)
    }
    if (left.length > 0) tools.learn({ left })
  },
})

async function taggedLayers(stores: Stores, serverSnapshotIds: readonly string[]): Promise<Layer[]> {
  const where = { serverSnapshotId: { in: [...serverSnapshotIds] }, tag: { not: null } }
  const ids = [...new Set((await stores.diskSnapshots.list(ANY, { where })).map((part) => part.layerId))]
  const layers = await Promise.all(ids.map(async (id) => (id === null ? undefined : await stores.layers.find(ANY, id))))
  return layers.filter((layer) => layer !== undefined)
}

async function reachOf(tools: Tools, layer: Layer, diskIds: readonly string[]): Promise<Reach | undefined> {
  const stores = tools.db.read
  const above = [layer, ...(await stores.layers.descendants(layer.id))]
  const disks = await stores.disks.list(ANY, { where: { topLayerId: { in: above.map(({ id }) => id) } } })
  if (disks.some((disk) => !diskIds.includes(disk.id))) return undefined
  const top = disks.find((disk) => disk.topLayerId === layer.id)
  const live = top === undefined ? undefined : await liveDisk(tools, top.id)
  if (live !== undefined) return { live: live.guest.blocks, node: formatNode(layer.id) }
  // Of a copy that an image is made of, its tool has the chain open.
  const pins = await Promise.all(above.map(async ({ id }) => await stores.layers.pins(id)))
  if (pins.flat().some((pin) => pin.kind === 'image') || (await readersOf(tools, layer.id)).length > 0) return undefined
  return { closed: await fileOf(stores, layer) }
}

async function rid(tools: Tools, layer: Layer, reach: Reach, serverSnapshotIds: readonly string[]): Promise<void> {
  const parts = await tools.db.read.diskSnapshots.list(ANY, { where: { layerId: { is: layer.id }, tag: { not: null } } })
  const kept = new Set(parts.flatMap(({ serverSnapshotId, tag }) => (serverSnapshotIds.includes(serverSnapshotId) ? [] : [tag])))
  const there =
    'closed' in reach ? await tools.files.tags(reach.closed) : (await reach.live.nodes()).find(({ node }) => node === reach.node)?.tags
  for (const tag of there ?? []) {
    if (!isTagName(tag) || kept.has(tag)) continue
    if ('closed' in reach) await tools.files.untag(reach.closed, tag)
    else await reach.live.removeTag(reach.node, tag)
  }
}

/** False: it said no, and the snapshot goes all the same. On a full pool it will not say so for ever. */
async function unlessRefused(act: () => Promise<void>): Promise<boolean> {
  try {
    await act()
    return true
  } catch (error) {
    if (error instanceof AdapterError && error.outcome === 'refused' && error.reason !== 'no-space') return false
    throw error
  }
}
