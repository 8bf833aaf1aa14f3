/**
 * Internal snapshots of open disks: tags inside the qcow2 files of their tops. QEMU takes and gives up those of a root node
 * only: once an overlay stands on a layer, its tags can be read and removed in the closed file alone.
 */
import type { BlockHost } from '../ports/block.js'
import { findNode, listNodes } from './block-graph.js'
import { makeWritable } from './block-reopen.js'
import { isRefusal, type QmpSession } from './qmp/session.js'

type Tags = Parameters<BlockHost['takeTags']>[0]

export async function takeTags(session: QmpSession, tags: Tags): Promise<void> {
  const transaction = {
    actions: tags.map(({ node, tag }) => ({ type: 'blockdev-snapshot-internal-sync' as const, data: { device: node, name: tag } })),
  }
  try {
    await session.execute('transaction', transaction)
  } catch (error) {
    // All or none: nothing has happened. A top that no device has opened for writing yet takes no tag.
    if (!isRefusal(error)) throw error
    if (await areThere(session, tags)) return
    if (!(await makeWritable(session, [...new Set(tags.map(({ node }) => node))]))) throw error
    await session.execute('transaction', transaction)
  }
}

export async function removeTag(session: QmpSession, node: string, tag: string): Promise<void> {
  try {
    await session.execute('blockdev-snapshot-delete-internal-sync', { device: node, name: tag })
  } catch (error) {
    if (!isRefusal(error)) throw error
    const found = await findNode(session, node)
    if (found?.image.snapshots?.some(({ name }) => name === tag)) throw error
  }
}

async function areThere(session: QmpSession, tags: Tags): Promise<boolean> {
  const nodes = await listNodes(session)
  return tags.every(({ node, tag }) => nodes.some((one) => one.node === node && one.tags.includes(tag)))
}
