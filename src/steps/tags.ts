/**
 * Internal snapshots: a tag inside the top layer of each disk, all disks at one instant while the guest runs, in the closed
 * files while it does not. Nothing is switched: the guest goes on writing where it wrote, and what the tag needs is kept.
 *
 * The hard case: QEMU died around the transaction. Each tag is in its file or it is not, and perhaps in some and not in
 * others. But the guest wrote nothing after the first was taken: its disks stand still within the transaction, and it died
 * with QEMU. So those that are missing are taken in the closed files, and read as the disks did at that instant. This job holds
 * the server's power, so nobody has written since.
 */
import { refused } from '../domain/errors.js'
import { formatNode } from '../domain/names.js'
import type { BlockHost } from '../ports/block.js'
import { chainFiles, layerFile, layerRow, liveDisk, topOf } from './places.js'
import type { PivotBrick, Tools, UndoableBrick } from './tools.js'

export const TAKE_TAGS = 'take-tags'

export interface Tagging {
  readonly tag: string
  readonly diskIds: readonly string[]
}

/** Looks whether all tops can keep a tag. Undone, none of them has it: what a pivot that was refused halfway left is gone. */
export const prepareTags = ({ tag, diskIds }: Tagging): UndoableBrick => ({
  kind: 'undoable',
  name: 'prepare-tags',
  probe: async () => 'absent',
  async apply(_, tools) {
    for (const diskId of diskIds) {
      const { format } = await layerRow(tools.db.read, await topOf(tools.db.read, diskId))
      if (format !== 'qcow2') throw refused(`disk ${diskId} is on a layer that keeps no internal snapshots`)
    }
  },
  async undo(_, tools) {
    for (const diskId of diskIds) {
      const top = await topOf(tools.db.read, diskId)
      const live = await liveDisk(tools, diskId)
      if (live !== undefined) await live.guest.blocks.removeTag(formatNode(top), tag)
      else {
        const file = await layerFile(tools.db.read, top)
        await tools.files.mend(file)
        await tools.files.untag(file, tag)
      }
    }
  },
})

export const takeTags = ({ tag, diskIds }: Tagging): PivotBrick => ({
  kind: 'pivot',
  name: TAKE_TAGS,
  resumes: true,
  async probe(_, tools) {
    const there = await Promise.all(diskIds.map((diskId) => isTagged(tools, diskId, tag)))
    if (there.every(Boolean)) return 'done'
    return there.some(Boolean) ? 'partial' : 'absent'
  },
  async apply(_, tools) {
    const open: string[] = []
    let host: BlockHost | undefined
    for (const diskId of diskIds) {
      const top = await topOf(tools.db.read, diskId)
      const live = await liveDisk(tools, diskId)
      if (live === undefined) {
        const chain = await chainFiles(tools.db.read, top)
        await tools.files.verify(chain)
        if (chain[0] !== undefined) await tools.files.tag(chain[0], tag)
      } else {
        host = live.guest.blocks
        open.push(formatNode(top))
      }
    }
    if (host === undefined) return tools.learn({ live: false })
    const began = tools.clock.monotonic()
    await host.takeTags(open.map((node) => ({ node, tag })))
    tools.learn({ live: true, switchedIn: tools.clock.monotonic() - began })
  },
})

/** Asked after a crash only: in a closed file, what a killed writer had half counted is put right first. */
async function isTagged(tools: Tools, diskId: string, tag: string): Promise<boolean> {
  const top = await topOf(tools.db.read, diskId)
  const live = await liveDisk(tools, diskId)
  if (live !== undefined) return (await live.guest.blocks.nodes()).some((one) => one.node === formatNode(top) && one.tags.includes(tag))
  const file = await layerFile(tools.db.read, top)
  await tools.files.mend(file)
  return (await tools.files.tags(file)).includes(tag)
}
