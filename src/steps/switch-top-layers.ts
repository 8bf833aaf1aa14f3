/**
 * Pivot: each disk's new overlay goes on top of its layer, all disks in one QMP transaction.
 *
 *     before   base ◄── top                  after   base ◄── top (sealed) ◄── overlay
 *                        ▲ guest writes                                         ▲ guest writes
 *
 * The hard case: QEMU or the host died around the transaction and nobody can be asked. *done* is always safe: an
 * overlay that was never switched to is empty and reads as its backing; one that was holds the guest's writes. Taking
 * it for *absent* could lose them. And since this job holds the disks' chains and the server's power, nothing can start
 * the server on the old top before the tables say which layer is the top. A disk at rest is switched by those rows alone.
 */
import { NeedsAttention } from '../domain/errors.js'
import { formatNode } from '../domain/names.js'
import type { Switch } from '../domain/operations.js'
import type { BlockHost } from '../ports/block.js'
import { liveDisk, topOf } from './places.js'
import type { PivotBrick } from './tools.js'

export const SWITCH = 'switch-top-layers'

export const switchTopLayers = (switches: readonly Switch[]): PivotBrick => ({
  kind: 'pivot',
  name: SWITCH,
  async probe(_, tools) {
    let switched = 0
    let live = 0
    for (const { diskId, layerId } of switches) {
      const disk = await liveDisk(tools, diskId)
      if (disk === undefined) continue
      live++
      if (disk.topNode === formatNode(layerId)) switched++
      else if (disk.topNode !== formatNode(await topOf(tools.db.read, diskId)))
        throw new NeedsAttention(`Disk ${diskId} is on a layer the tables do not know as its top.`)
    }
    if (switched !== 0 && switched !== live) throw new NeedsAttention('Some disks were switched and others not.')
    return switched === live ? 'done' : 'absent'
  },
  async apply(_, tools) {
    const moves: { from: string; to: string }[] = []
    let host: BlockHost | undefined
    for (const { diskId, layerId } of switches) {
      const disk = await liveDisk(tools, diskId)
      if (disk === undefined) continue
      host = disk.guest.blocks
      moves.push({ from: formatNode(await topOf(tools.db.read, diskId)), to: formatNode(layerId) })
    }
    if (host === undefined) return tools.learn({ live: false })
    const began = tools.clock.monotonic()
    await host.switchTops(moves)
    tools.learn({ live: true, switchedIn: tools.clock.monotonic() - began })
  },
})
