/**
 * Disks go back to what they were. Each gets a layer that reads as it did then, made before anything is given up, and that
 * layer becomes its top by rows alone:
 *
 *     external            base ◄── sealed (the snapshot) ◄── top          overlay on `sealed` becomes the top
 *     tag, sealed since   base ◄── tagged (sealed) ◄── … ◄── top          copy of the tag on `base` becomes the top
 *     tag in the top      base ◄── tagged top                             stays the top; the tag is applied to it
 *
 * Which of them it is follows from the tables: the job holds the disk's chain, so they stay what they are.
 */
import type { Disk } from '../domain/disk.js'
import { DomainError, NeedsAttention } from '../domain/errors.js'
import type { DiskSnapshot } from '../domain/server-snapshot.js'
import type { RevertedDisk } from '../domain/server-snapshot-operations.js'
import type { Chain, LayerFile } from '../ports/block.js'
import { ANY, type Stores } from '../ports/stores.js'
import { chainFiles, diskRow, fileOf, layerFile, layerRow } from './places.js'
import type { Journal } from './step.js'
import type { ForwardBrick, PivotBrick, Tools, UndoableBrick } from './tools.js'

/** How a disk of a server snapshot goes back. */
interface WayBack extends RevertedDisk {
  readonly disk: Disk
  readonly part: DiskSnapshot & { layerId: string }
  readonly kind: 'overlay' | 'copy' | 'in-place'
}

export async function waysBack(stores: Stores, disks: readonly RevertedDisk[]): Promise<WayBack[]> {
  return await Promise.all(
    disks.map(async (one) => {
      const disk = await diskRow(stores, one.diskId)
      const part = await stores.diskSnapshots.find(ANY, one.diskSnapshotId)
      if (part?.layerId == null) throw new NeedsAttention(`Part ${one.diskSnapshotId} of the snapshot is not in the tables.`)
      const kind = part.tag === null ? 'overlay' : part.layerId === disk.topLayerId ? 'in-place' : 'copy'
      return { ...one, disk, part: { ...part, layerId: part.layerId }, kind } as const
    }),
  )
}

export async function memoryOf(stores: Stores, serverSnapshotId: string): Promise<string> {
  const [state] = await stores.memoryStates.list(ANY, { where: { serverSnapshotId: { is: serverSnapshotId } }, limit: 1 })
  if (state === undefined) throw new DomainError('invalidState', 'The snapshot has no memory.')
  return state.id
}

/**
 * Undoable: the files of the layers that are to be the tops. An overlay costs nothing, a copy as much as the tag holds of its
 * own. A disk that has grown since stays as large as its owner knows it. A copy that was cut off is begun anew.
 */
export const createReverted = (disks: readonly RevertedDisk[]): UndoableBrick => ({
  kind: 'undoable',
  name: 'create-layers',
  resumes: true,
  async probe(_, tools) {
    const found = await Promise.all((await newTops(tools.db.read, disks)).map((top) => stateOf(tools, top)))
    if (found.every((state) => state === 'done')) return 'done'
    return found.every((state) => state === 'absent') ? 'absent' : 'partial'
  },
  async apply(_, tools) {
    for (const top of await newTops(tools.db.read, disks)) {
      const { layer, chain, tag } = top
      if (tag !== null) {
        await tools.files.verify(chain)
        const signal = AbortSignal.any([tools.stop, tools.cancel])
        const bytesTotal = layer.virtualSize
        const onProgress = (fraction: number) => tools.report({ bytesDone: Math.round(fraction * bytesTotal), bytesTotal })
        await tools.files.copyTag(chain, tag, layer, { signal, onProgress })
        continue
      }
      const state = await stateOf(tools, top)
      if (state === 'done') continue
      if (state === 'partial') await tools.files.remove(layer.path)
      await tools.files.create(layer, chain[0] ?? null)
    }
  },
  async undo(_, tools) {
    for (const { layerId } of disks) await tools.files.remove((await layerFile(tools.db.read, layerId)).path)
  },
  async record(_, stores) {
    for (const { layer, chain, tag } of await newTops(stores, disks)) {
      const parentId = (tag === null ? chain[0] : chain[1])?.layerId ?? null
      await stores.layers.update(layer.layerId, { parentId, virtualSize: layer.virtualSize })
    }
  },
})

interface NewTop {
  readonly layer: LayerFile
  /** From the snapshot's layer down. */
  readonly chain: Chain
  /** What is copied out of that layer; null: it is stood on. */
  readonly tag: string | null
}

async function newTops(stores: Stores, disks: readonly RevertedDisk[]): Promise<NewTop[]> {
  const ways = (await waysBack(stores, disks)).filter(({ kind }) => kind !== 'in-place')
  return await Promise.all(
    ways.map(async ({ layerId, disk, part }): Promise<NewTop> => {
      const virtualSize = Math.max(disk.virtualSize, part.virtualSize)
      const layer = { ...(await fileOf(stores, await layerRow(stores, layerId))), virtualSize }
      return { layer, chain: await chainFiles(stores, part.layerId), tag: part.tag }
    }),
  )
}

/** Of a copy nobody can tell by looking whether it is whole. */
async function stateOf(tools: Tools, { layer, chain, tag }: NewTop): Promise<'absent' | 'partial' | 'done'> {
  if (tag === null) return await tools.files.probe(layer, chain[0] ?? null)
  return (await tools.files.exists(layer.path)) ? 'partial' : 'absent'
}

/**
 * Forward: tags that are still in their disks' tops. QEMU has ended and nothing else may start it, so the files are closed.
 * Applying one destroys what the layer read as, and that was given up with the pivot; it may be cut off anywhere and done
 * again, for the tag itself stays what it is. What a killed tool had counted and not used is counted again. A disk that has
 * grown since the tag was taken is made as large again.
 */
export const applyTags = (disks: readonly RevertedDisk[]): ForwardBrick => ({
  kind: 'forward',
  name: 'apply-tags',
  probe: async () => 'absent',
  async apply(_, tools) {
    for (const { disk, part, kind } of await waysBack(tools.db.read, disks)) {
      if (kind !== 'in-place' || part.tag === null) continue
      const layer = await layerFile(tools.db.read, part.layerId)
      await tools.files.applyTag(layer, part.tag)
      await tools.files.mend(layer)
      await tools.files.grow(layer, disk.virtualSize)
    }
  },
})

export const GIVE_UP = 'give-up-present'

interface GivenUp {
  /** The tops that were, by disk. */
  readonly tops?: Readonly<Record<string, string>>
}

/**
 * Pivot, rows only: each disk's top is another layer. The hard case: QEMU dies around it. Before it, the present is what
 * the guest had flushed, and the job goes on or is undone just the same. After it nobody needs what that QEMU would still
 * have written: it is what the caller gives up. So nothing in the world is asked, and there is nothing to be found out. A
 * QEMU that still runs meanwhile writes to a layer that is the top of no disk; the job's locks keep all others away from
 * both until it was ended. Whoever wanted the present kept had it taken into a snapshot of its own before.
 */
export const putOnTop = (
  chosen: (stores: Stores) => Promise<readonly { readonly diskId: string; readonly layerId: string }[]>,
): PivotBrick => ({
  kind: 'pivot',
  name: GIVE_UP,
  probe: async () => 'absent',
  async apply(_, tools) {
    const tops: Record<string, string> = {}
    for (const { diskId } of await chosen(tools.db.read)) {
      const { topLayerId } = await diskRow(tools.db.read, diskId)
      if (topLayerId !== null) tops[diskId] = topLayerId
    }
    tools.learn({ tops } satisfies GivenUp)
  },
  async record(_, stores, facts) {
    const { tops = {} } = facts as GivenUp
    for (const { diskId, layerId } of await chosen(stores)) {
      const old = tops[diskId]
      if (old !== undefined) await stores.layers.transition(old, ['top'], { state: 'sealed' })
      await stores.layers.transition(layerId, ['planned'], { state: 'top' })
      await stores.disks.update(diskId, { topLayerId: layerId })
    }
  },
})

/** What was given up, for the settling transaction. */
export const givenUpTops = (journal: Pick<Journal, 'facts'>): string[] => Object.values((journal.facts(GIVE_UP) as GivenUp).tops ?? {})
