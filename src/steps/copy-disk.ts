/**
 * A disk's whole view copied into one new file, in another pool or format, while it is in use or not.
 *
 *     before   base ◄── top        pivot   copy (the disk's top)        keep   base ◄── top, and copy, as top was at the end
 *
 * Pivot: the copying up to the row that says what the copy is. The hard case: QEMU dies when the disk has moved and the row
 * has not been written. Then the source is right: the guest stands still from before the move until that row, as for a
 * commit, so the copy holds nothing more. Whatever ended early is copied anew, from a file made anew.
 */
import type { CopyDiskInput } from '../domain/chain-operations.js'
import { whyNotMove } from '../domain/chain-rules.js'
import { blockJobName, formatNode } from '../domain/names.js'
import type { BlockHost, Chain, LayerFile } from '../ports/block.js'
import type { Stores } from '../ports/stores.js'
import { Deferred, limitOf, onHost, settled, waitFor } from './block-work.js'
import { isGone, letGo, linksOf, type MovedFacts, needRoom, refuseFor, whyFailed } from './chain-work.js'
import { chainFiles, diskRow, type LiveDisk, layerFile, layerRow, liveDisk, topOf } from './places.js'
import { Yielded } from './step.js'
import type { ForwardBrick, PivotBrick, Tools, UndoableBrick } from './tools.js'
import { holdStill } from './wake-guest.js'

export const COPY = 'copy-data'

export const beginCopy = (input: CopyDiskInput): UndoableBrick => ({
  kind: 'undoable',
  name: 'begin-copy',
  probe: async () => 'absent',
  async apply(_, tools) {
    const links = await linksOf(tools, input.diskId)
    refuseFor(input.end === 'pivot' ? whyNotMove(links) : undefined)
    const target = await targetOf(tools.db.read, input)
    const layers = links.map((link) => link.layer)
    await needRoom(tools, layers, target.path, target.virtualSize)
  },
  async undo(_, tools) {
    const live = await letGo(tools, input.diskId, blockJobName('copy', input.layerId))
    await live?.guest.blocks.close(input.layerId)
    await tools.files.remove((await layerFile(tools.db.read, input.layerId)).path)
  },
})

export const copyData = (input: CopyDiskInput): PivotBrick => ({
  kind: 'pivot',
  name: COPY,
  async probe(_, tools) {
    const live = (await isGone(tools, input.diskId)) ? undefined : await liveDisk(tools, input.diskId)
    if (live === undefined || !(await isThrough(input, live))) return 'absent'
    tools.learn(await movedBy(tools, input))
    return 'done'
  },
  async apply(_, tools) {
    const links = await linksOf(tools, input.diskId)
    refuseFor(input.end === 'pivot' ? whyNotMove(links) : undefined)
    tools.learn(await movedBy(tools, input))
    const live = await liveDisk(tools, input.diskId)
    const target = await targetOf(tools.db.read, input)
    const chain = await chainFiles(tools.db.read, await topOf(tools.db.read, input.diskId))
    const name = blockJobName('copy', input.layerId)
    await onHost(tools, live?.guest.blocks, chain, (host) => copyOn(tools, host, { input, live, target, chain }), name).catch(
      async (error: unknown) => {
        throw await whyFailed(tools, target.path, error)
      },
    )
  },
  async record({ diskId, layerId, end, copyDiskId }: CopyDiskInput, stores) {
    const source = await topOf(stores, diskId)
    const { virtualSize } = await layerRow(stores, source)
    await stores.layers.transition(layerId, ['planned'], { state: 'top', parentId: null, virtualSize })
    if (end === 'keep') return await stores.disks.update(copyDiskId ?? '', { topLayerId: layerId, virtualSize })
    await stores.layers.transition(source, ['top'], { state: 'sealed' })
    await stores.disks.update(diskId, { topLayerId: layerId, poolId: (await layerRow(stores, layerId)).poolId })
  },
})

/** Forward: the copy of a guest's disk that stays where it is is closed, before anybody else opens it. */
export const closeCopy = ({ diskId, layerId, end }: CopyDiskInput): ForwardBrick => ({
  kind: 'forward',
  name: 'close-copy',
  probe: async () => 'absent',
  async apply(_, tools) {
    const { serverId } = await diskRow(tools.db.read, diskId)
    const host = serverId === null ? undefined : (await tools.hypervisor.find(serverId))?.blocks
    await host?.dismissJob(blockJobName('copy', layerId))
    if (end === 'keep') await host?.close(layerId)
  },
})

/** As large as the disk is now. */
async function targetOf(stores: Stores, { diskId, layerId }: CopyDiskInput): Promise<LayerFile> {
  const { virtualSize } = await layerRow(stores, await topOf(stores, diskId))
  return { ...(await layerFile(stores, layerId)), virtualSize }
}

async function movedBy(tools: Tools, { diskId, end }: CopyDiskInput): Promise<MovedFacts> {
  const chain = end === 'keep' ? [] : await tools.db.read.layers.chain(await topOf(tools.db.read, diskId))
  return { layers: chain.map((layer) => layer.id) }
}

async function isThrough({ layerId, end }: CopyDiskInput, { guest, topNode }: LiveDisk): Promise<boolean> {
  if (end === 'pivot') return topNode === formatNode(layerId)
  const job = await guest.blocks.blockJob(blockJobName('copy', layerId))
  return job?.status === 'concluded' && job.error === undefined
}

interface Copy {
  readonly input: CopyDiskInput
  readonly live: LiveDisk | undefined
  readonly target: LayerFile
  readonly chain: Chain
}

async function copyOn(tools: Tools, host: BlockHost, { input, live, target, chain }: Copy): Promise<void> {
  const [source] = chain
  if (source === undefined || (live !== undefined && (await isThrough(input, live)))) return
  const id = blockJobName('copy', input.layerId)
  const writes = [target.layerId]
  let job = await host.blockJob(id)
  if (job?.status === 'concluded') {
    await host.dismissJob(id)
    job = undefined
  }
  const standing = holdStill(tools, input.end === 'pivot' ? live?.guest : undefined)
  try {
    if (job === undefined) {
      await host.close(target.layerId)
      await tools.files.remove(target.path)
      await tools.files.create(target, null)
      await host.open(target, null, { writable: true })
      await host.startCopy(id, source, target, { speed: await limitOf(tools) })
    }
    const ready = await waitFor(tools, host, { id, writes, until: 'ready', heeds: 'cancel', limited: true })
    if (ready.status === 'concluded') await settled(host, id, ready)
    // Nobody writes to a disk at rest: there the copy is whole, and the rows alone move it.
    if (input.end === 'keep' || live === undefined) await host.endCopy(id)
    else {
      await standing.begin()
      await host.completeJob(id)
    }
    await settled(host, id, await waitFor(tools, host, { id, writes, until: 'concluded', heeds: 'stop' }))
  } catch (error) {
    if (!tools.stop.aborted && !(live !== undefined && (await hasMoved(input, live)))) await standing.rouse()
    // What is copied anew anyway must not be in anybody's way.
    if (error instanceof Yielded || error instanceof Deferred) await host.close(target.layerId)
    throw error
  }
}

const hasMoved = async ({ diskId, layerId }: CopyDiskInput, { guest }: LiveDisk): Promise<boolean> =>
  (await guest.blocks.topNode(diskId)) === formatNode(layerId)
