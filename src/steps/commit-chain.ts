/**
 * A chain made shorter from below: a layer, with what lies between, goes down into its base, which then reads as it did.
 *
 *     before   base ◄── a ◄── top (◄── above)        after   base, reading as top did (◄── above)
 *
 * The rows `merging` come first: base and what lies between are spoilt from the first byte, and nobody may be shown them
 * again, whatever becomes of the job. Pivot: the copying up to the row that says who took the top's place. The hard case,
 * QEMU dying amid it: a disk's own top is told in commit-active.ts; of an inner layer the header of the one above says
 * whether it still stands on it, and until then the top has the truth.
 */
import type { CommitChainInput } from '../domain/chain-operations.js'
import { whyNotCommit } from '../domain/chain-rules.js'
import { DomainError } from '../domain/errors.js'
import { blockJobName, formatNode } from '../domain/names.js'
import type { BlockHost, Chain, LayerFile } from '../ports/block.js'
import { ANY } from '../ports/stores.js'
import { Deferred, limitOf, onHost, settled, standsOn, waitFor } from './block-work.js'
import { isGone, letGo, linksOf, type MovedFacts, needRoom, refuseFor, whyFailed } from './chain-work.js'
import { commitActive } from './commit-active.js'
import { chainFiles, fileOf, type LiveDisk, layerFile, readersOf, topOf } from './places.js'
import { recordCommit } from './record-commit.js'
import { Yielded } from './step.js'
import type { PivotBrick, Tools, UndoableBrick } from './tools.js'

export const COMMIT = 'commit-data'

/** From the layer that goes down to the base, both included. */
async function span(tools: Tools, { diskId, topLayerId, baseLayerId }: CommitChainInput): Promise<string[]> {
  if (await isGone(tools, diskId)) return []
  const ids = (await tools.db.read.layers.chain(await topOf(tools.db.read, diskId))).map((layer) => layer.id)
  const [from, to] = [ids.indexOf(topLayerId), ids.indexOf(baseLayerId)]
  return from < 0 || to <= from ? [] : ids.slice(from, to + 1)
}

async function check(tools: Tools, input: CommitChainInput): Promise<void> {
  const links = await linksOf(tools, input.diskId)
  const above = (await tools.db.read.layers.descendants(input.baseLayerId)).map((layer) => layer.id)
  const disks = above.length === 0 ? [] : await tools.db.read.disks.list(ANY, { where: { topLayerId: { in: above } } })
  // What came to stand on it while we waited in the queue is not among our locks yet.
  if (above.some((id) => !input.layerIds.includes(id)) || disks.some((disk) => !input.diskIds.includes(disk.id))) throw new Yielded()
  refuseFor(whyNotCommit(links, input.topLayerId, input.baseLayerId))
  const readers = new Set((await readersOf(tools, input.baseLayerId)).map((reader) => reader.guest.serverId))
  if (readers.size > 1) refuseFor({ sentence: 'The layer to commit into is in use by several running servers.' })
}

export const beginCommit = (input: CommitChainInput): UndoableBrick => ({
  kind: 'undoable',
  name: 'begin-commit',
  probe: async () => 'absent',
  async apply(_, tools) {
    await check(tools, input)
    const rows = (await linksOf(tools, input.diskId)).map((link) => link.layer)
    const [from, to] = [input.topLayerId, input.baseLayerId].map((id) => rows.findIndex((layer) => layer.id === id)) as [number, number]
    const [top, base] = [rows[from], rows[to]]
    if (top === undefined || base === undefined) return
    const { path } = await fileOf(tools.db.read, base)
    const has = (await tools.files.stat(path))?.allocated ?? 0
    await needRoom(tools, rows.slice(from, to), path, top.virtualSize - has)
    tools.learn({ spoilt: rows.slice(from + 1, to + 1).map((layer) => layer.id) })
  },
  async record(_, stores, { spoilt }) {
    for (const id of Array.isArray(spoilt) ? spoilt : []) await stores.layers.transition(String(id), ['sealed'], { state: 'merging' })
  },
  async undo(_, tools) {
    const id = blockJobName('merge', input.baseLayerId)
    for (const { guest, diskId } of await readersOf(tools, input.baseLayerId)) {
      await letGo(tools, diskId, id)
      // One that ended without effect may have left its base open for writing: nobody else could read it.
      await guest.blocks.seal(input.baseLayerId)
    }
  },
})

export const commitData = (input: CommitChainInput): PivotBrick => ({
  kind: 'pivot',
  name: COMMIT,
  async probe(_, tools) {
    const layers = await span(tools, input)
    if (layers.length === 0) return 'absent'
    const work = await workOf(tools, input)
    if (work === undefined || !(await isThrough(tools, work))) return 'absent'
    tools.learn({ layers } satisfies MovedFacts)
    return 'done'
  },
  async apply(_, tools) {
    await check(tools, input)
    const work = await workOf(tools, input)
    if (work === undefined) throw new DomainError('invalidState', 'The layers are not below the disk any more.')
    tools.learn({ layers: await span(tools, input) } satisfies MovedFacts)
    const { id, chain, top, base, reader } = work
    const commit =
      work.above === null ? commitActive(tools, { id, chain, top, base, reader, heeds: 'cancel', limited: true }) : commitInner(tools, work)
    await commit.catch(async (error: unknown) => {
      throw await whyFailed(tools, base.path, error)
    })
  },
  async record({ topLayerId, baseLayerId }: CommitChainInput, stores) {
    const chain = (await stores.layers.chain(topLayerId)).map((layer) => layer.id)
    await recordCommit(stores, baseLayerId, topLayerId, chain.slice(1, chain.indexOf(baseLayerId)))
  },
})

interface Work {
  readonly id: string
  /** From the layer above the one that goes down, or from that one itself where it is a disk's top. */
  readonly chain: Chain
  readonly above: LayerFile | null
  readonly top: LayerFile
  readonly base: LayerFile
  /** A running guest with that chain open. */
  readonly reader: LiveDisk | undefined
}

async function workOf(tools: Tools, { topLayerId, baseLayerId }: CommitChainInput): Promise<Work | undefined> {
  const stores = tools.db.read
  const [above] = await stores.layers.children(topLayerId)
  const chain = await chainFiles(stores, above?.id ?? topLayerId)
  const [top, base] = [topLayerId, baseLayerId].map((id) => chain.find((layer) => layer.layerId === id))
  if (top === undefined || base === undefined) return undefined
  const [reader] = await readersOf(tools, topLayerId)
  const id = blockJobName('merge', baseLayerId)
  return { id, chain, above: above === undefined ? null : await layerFile(stores, above.id), top, base, reader }
}

async function isThrough(tools: Tools, { chain, above, base, reader }: Work): Promise<boolean> {
  if (above === null) return reader?.topNode === formatNode(base.layerId)
  if (reader !== undefined) return await standsOnBase(reader.guest.blocks, above, base)
  return await standsOn(tools, [above, ...chain.slice(chain.indexOf(base))])
}

const standsOnBase = async (host: BlockHost, above: LayerFile, base: LayerFile): Promise<boolean> =>
  (await host.nodes()).find((node) => node.node === formatNode(above.layerId))?.backing === formatNode(base.layerId)

async function commitInner(tools: Tools, { id, chain, above, top, base, reader }: Work): Promise<void> {
  if (above === null) return
  const root = reader === undefined ? above : await layerFile(tools.db.read, await topOf(tools.db.read, reader.diskId))
  await onHost(tools, reader?.guest.blocks, chain, async (host) => {
    if (await standsOnBase(host, above, base)) return
    const job = await host.blockJob(id)
    if (job?.status === 'concluded') await host.dismissJob(id)
    if (job === undefined || job.status === 'concluded')
      await host.startMerge(id, root, { kind: 'commit', active: false, top, base }, { speed: await limitOf(tools) })
    try {
      const wait = { id, writes: [base.layerId, above.layerId], until: 'concluded', heeds: 'cancel', limited: true } as const
      await settled(host, id, await waitFor(tools, host, wait))
    } catch (error) {
      if (error instanceof Yielded || error instanceof Deferred) await host.seal(base.layerId)
      throw error
    }
  })
}
