/**
 * Pivot: the disk's top layer gets larger, live in its QEMU or in its closed file. The hard case: QEMU died around the
 * resize. The size is in the top's header: whichever it says, growing again to the same size is harmless, so a guest that
 * is gone is answered by the file.
 */
import { formatNode } from '../domain/names.js'
import { chainFiles, layerFile, liveDisk, topOf } from './places.js'
import type { PivotBrick } from './tools.js'

export const growDisk = (diskId: string, bytes: number): PivotBrick => ({
  kind: 'pivot',
  name: 'grow-disk',
  async probe(_, tools) {
    const top = await topOf(tools.db.read, diskId)
    const live = await liveDisk(tools, diskId)
    if (live === undefined) {
      const [layer, backing = null] = await chainFiles(tools.db.read, top)
      return layer !== undefined && (await tools.files.probe({ ...layer, virtualSize: bytes }, backing)) === 'done' ? 'done' : 'absent'
    }
    const node = (await live.guest.blocks.nodes()).find((one) => one.node === formatNode(top))
    return node !== undefined && node.virtualSize >= bytes ? 'done' : 'absent'
  },
  async apply(_, tools) {
    const top = await topOf(tools.db.read, diskId)
    const live = await liveDisk(tools, diskId)
    if (live === undefined) await tools.files.grow(await layerFile(tools.db.read, top), bytes)
    else await live.guest.blocks.resize(top, bytes)
  },
})
