/**
 * Data of the layers between the first of a chain and a base goes up into that first one, which then stands on the base.
 * What it shows never changes, and its own header says whether it still needs what lay between: so whenever QEMU dies,
 * beginning again from what the header says is right.
 */
import { formatNode } from '../domain/names.js'
import type { BlockHost, Chain, LayerFile } from '../ports/block.js'
import { limitOf, onHost, settled, standsOn, type Wait, waitFor } from './block-work.js'
import type { LiveDisk } from './places.js'
import { Yielded } from './step.js'
import type { Tools } from './tools.js'

export interface Stream {
  /** Of the block job. */
  readonly id: string
  /** From the layer that takes the data down. */
  readonly chain: Chain
  /** Top of the disk whose chain it runs in: the layer itself, or one above it. */
  readonly root: LayerFile
  /** Null: down to nothing. */
  readonly base: LayerFile | null
  readonly reader: LiveDisk | undefined
  readonly heeds: Wait['heeds']
  readonly limited?: boolean
}

export async function streamUp(tools: Tools, stream: Stream): Promise<void> {
  const { id, chain, root, base, reader, heeds, limited = false } = stream
  const [top, below] = chain
  if (top === undefined || below === undefined) return
  if (reader === undefined && (await standsOn(tools, shortened(stream)))) return
  await onHost(tools, reader?.guest.blocks, chain, async (host) => {
    const isThrough = (): Promise<boolean> => stoodOff(host, top, below)
    if ((await host.blockJob(id)) === undefined) {
      if (await isThrough()) return
      await host.startMerge(id, root, { kind: 'stream', top, base }, limited ? { speed: await limitOf(tools) } : {})
    }
    try {
      await settled(host, id, await waitFor(tools, host, { id, writes: [top.layerId], until: 'concluded', heeds, limited }))
    } catch (error) {
      // It may have ended just as it was to make way.
      if (!(error instanceof Yielded) || !(await isThrough())) throw error
    }
  })
}

/** Did all of it go up? The graph says so of a guest that runs, the headers of one that does not. */
export async function isStreamed(tools: Tools, { chain, base, reader }: Pick<Stream, 'chain' | 'base' | 'reader'>): Promise<boolean> {
  const [top, below] = chain
  if (top === undefined || below === undefined) return false
  if (reader === undefined) return await standsOn(tools, shortened({ chain, base }))
  return await stoodOff(reader.guest.blocks, top, below)
}

const stoodOff = async (host: BlockHost, top: LayerFile, below: LayerFile): Promise<boolean> =>
  (await host.nodes()).find((node) => node.node === formatNode(top.layerId))?.backing !== formatNode(below.layerId)

/** The chain as it is when all is through. */
function shortened({ chain, base }: Pick<Stream, 'chain' | 'base'>): Chain {
  const at = chain.findIndex((layer) => layer.layerId === base?.layerId)
  return [...chain.slice(0, 1), ...(at < 0 ? [] : chain.slice(at))]
}
