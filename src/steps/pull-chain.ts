/**
 * A chain made shorter from above: what the layers between a disk's top and a base hold goes up into the top.
 *
 *     before   base ◄── a ◄── b ◄── top        after   base ◄── top        base ◄── a ◄── b, for whoever keeps them
 *
 * Pivot: the stream, from its first byte to the row that says what the top stands on. The hard case: QEMU dies amid it or
 * just after. What the top shows is the same all the time, and it stands on what its own header says, which is looked at:
 * then it was done; else it is begun again and what went up already is skipped.
 */
import type { PullChainInput } from '../domain/chain-operations.js'
import { pulledOut, whyNotPull } from '../domain/chain-rules.js'
import { blockJobName } from '../domain/names.js'
import { isGone, letGo, linksOf, type MovedFacts, needRoom, refuseFor, whyFailed } from './chain-work.js'
import { chainFiles, fileOf, liveDisk, topOf } from './places.js'
import { isStreamed, type Stream, streamUp } from './stream-up.js'
import type { PivotBrick, Tools, UndoableBrick } from './tools.js'

export const PULL = 'pull-data'

export const beginPull = ({ diskId, baseLayerId }: PullChainInput): UndoableBrick => ({
  kind: 'undoable',
  name: 'begin-pull',
  probe: async () => 'absent',
  async apply(_, tools) {
    const links = await linksOf(tools, diskId)
    refuseFor(whyNotPull(links, baseLayerId))
    const [top, ...below] = links.map((link) => link.layer)
    if (top === undefined) return
    const { path } = await fileOf(tools.db.read, top)
    const has = (await tools.files.stat(path))?.allocated ?? 0
    await needRoom(tools, pulledOut([top, ...below], baseLayerId), path, top.virtualSize - has)
  },
  async undo(_, tools) {
    if (!(await isGone(tools, diskId))) await letGo(tools, diskId, blockJobName('merge', await topOf(tools.db.read, diskId)))
  },
})

export const pullData = ({ diskId, baseLayerId }: PullChainInput): PivotBrick => ({
  kind: 'pivot',
  name: PULL,
  async probe(_, tools) {
    if (await isGone(tools, diskId)) return 'absent'
    const stream = await streamOf(tools, diskId, baseLayerId)
    if (stream === undefined || !(await isStreamed(tools, stream))) return 'absent'
    tools.learn(movedBy(stream))
    return 'done'
  },
  async apply(_, tools) {
    refuseFor(whyNotPull(await linksOf(tools, diskId), baseLayerId))
    const stream = await streamOf(tools, diskId, baseLayerId)
    if (stream === undefined) return
    tools.learn(movedBy(stream))
    await streamUp(tools, stream).catch(async (error: unknown) => {
      throw await whyFailed(tools, stream.root.path, error)
    })
  },
  record: async (_, stores) => await stores.layers.update(await topOf(stores, diskId), { parentId: baseLayerId }),
})

async function streamOf(tools: Tools, diskId: string, baseLayerId: string | null): Promise<Stream | undefined> {
  const chain = await chainFiles(tools.db.read, await topOf(tools.db.read, diskId))
  const [root] = chain
  const base = chain.find((layer) => layer.layerId === baseLayerId) ?? null
  if (root === undefined || (baseLayerId !== null && base === null)) return undefined
  const reader = await liveDisk(tools, diskId)
  return { id: blockJobName('merge', root.layerId), chain, root, base, reader, heeds: 'cancel', limited: true }
}

const movedBy = ({ chain, base }: Stream): MovedFacts => ({
  layers: pulledOut(
    chain.map((layer) => ({ id: layer.layerId })),
    base?.layerId ?? null,
  ).map((layer) => layer.id),
})
