/**
 * The BlockHost port over one QMP session, alike for a running QEMU and for a storage daemon.
 *
 * Every layer is two nodes, added one by one so that they live and die alike: `f-` holds the file, `q-` speaks
 * its format, driver and backing always said. A format node is opened read-only and made writable when it is
 * about to be written (a switch, a device, the top of a stopped chain): a layer that other guests share must
 * never be locked for writing.
 */
import { refused } from '../domain/errors.js'
import { fileNode, formatNode } from '../domain/names.js'
import type { BlockHost, LayerFile } from '../ports/block.js'
import { findNode, listNodes, topNodeOf } from './block-graph.js'
import {
  cancelBlockJob,
  completeBlockJob,
  dismissBlockJob,
  findBlockJob,
  setJobSpeed,
  startMergeJob,
  waitForBlockJob,
} from './block-job.js'
import { makeReadOnly, makeWritable } from './block-reopen.js'
import { removeTag, takeTags } from './block-tags.js'
import { endCopyJob, startCopyJob } from './copy-job.js'
import type { FileNode, FormatNode } from './qmp/block-types.js'
import { isRefusal, type QmpSession } from './qmp/session.js'

export interface BlockHostOptions {
  readonly session: QmpSession
  /** A running QEMU (guest devices, block jobs under I/O) rather than a storage daemon. */
  readonly live: boolean
  /** Called with a file's path before it is opened: gives it to the user QEMU runs as. */
  readonly grant?: (path: string) => Promise<void>
}

export function createBlockHost({ session, live, grant }: BlockHostOptions): BlockHost {
  return {
    live,
    nodes: () => listNodes(session),
    topNode: async (diskId) => (live ? await topNodeOf(session, diskId) : undefined),
    open: async (layer, backing, options) => {
      await grant?.(layer.path)
      await openLayer(session, layer, backing, options?.writable === true)
    },
    close: async (layerId) => {
      await closeNode(session, formatNode(layerId))
      await closeNode(session, fileNode(layerId))
    },
    seal: (layerId) => makeReadOnly(session, formatNode(layerId)),
    switchTops: async (switches) => {
      await switchTops(session, switches)
    },
    takeTags: (tags) => takeTags(session, tags),
    removeTag: (node, tag) => removeTag(session, node, tag),
    startMerge: (id, root, merge, options) => startMergeJob(session, id, root, merge, options?.speed),
    blockJob: (id) => findBlockJob(session, id),
    waitForJob: (id, options) => waitForBlockJob(session, id, options),
    startCopy: (id, source, target, options) => startCopyJob(session, id, source, target, options?.speed),
    completeJob: (id) => completeBlockJob(session, id),
    endCopy: (id) => endCopyJob(session, id),
    setSpeed: (id, bytesPerSecond) => setJobSpeed(session, id, bytesPerSecond),
    cancelJob: (id) => cancelBlockJob(session, id),
    dismissJob: (id) => dismissBlockJob(session, id),
    resize: (layerId, bytes) => resizeLayer(session, layerId, bytes),
  }
}

export const fileNodeOf = (layer: LayerFile): FileNode => ({
  driver: 'file',
  'node-name': fileNode(layer.layerId),
  filename: layer.path,
  discard: 'unmap',
  // The lock for writing is taken when a writer comes, not before.
  'auto-read-only': true,
})

export function formatNodeOf(layer: LayerFile, backing: string | null, readOnly: boolean): FormatNode {
  const common = {
    'node-name': formatNode(layer.layerId),
    file: fileNode(layer.layerId),
    discard: 'unmap',
    'read-only': readOnly,
  } as const
  if (layer.format === 'qcow2') return { driver: 'qcow2', ...common, backing }
  if (backing !== null) throw refused('a raw layer has no backing')
  return { driver: 'raw', ...common }
}

export async function openLayer(session: QmpSession, layer: LayerFile, backing: string | null, writable: boolean): Promise<void> {
  const format = formatNodeOf(layer, backing, !writable)
  // Sent together: without its file the format node is refused as well.
  const [fileAdded, formatAdded] = await Promise.allSettled([
    addUnlessOpen(session, fileNodeOf(layer), layer),
    addUnlessOpen(session, format, layer),
  ])
  if (fileAdded.status === 'rejected') throw fileAdded.reason
  if (formatAdded.status === 'rejected') {
    if (fileAdded.value && isRefusal(formatAdded.reason)) await closeNode(session, fileNode(layer.layerId))
    throw formatAdded.reason
  }
  if (!formatAdded.value && writable) await makeWritable(session, [format['node-name']])
}

/** False: it was open before. A node of that name on another file is refused. */
async function addUnlessOpen(session: QmpSession, node: FileNode | FormatNode, layer: LayerFile): Promise<boolean> {
  try {
    await session.execute('blockdev-add', node)
    return true
  } catch (error) {
    if (!isRefusal(error)) throw error
    const found = await findNode(session, node['node-name'])
    if (found === undefined || found.drv !== node.driver || (node.driver === 'file' && found.file !== layer.path)) throw error
    return false
  }
}

/** Not open: succeeds. */
export async function closeNode(session: QmpSession, name: string): Promise<void> {
  try {
    await session.execute('blockdev-del', { 'node-name': name })
  } catch (error) {
    if (!isRefusal(error) || (await findNode(session, name)) !== undefined) throw error
  }
}

async function switchTops(session: QmpSession, switches: readonly { from: string; to: string }[]): Promise<void> {
  const transaction = {
    actions: switches.map(({ from, to }) => ({ type: 'blockdev-snapshot' as const, data: { node: from, overlay: to } })),
  }
  try {
    await session.execute('transaction', transaction)
  } catch (error) {
    // All or none: nothing has happened. An overlay opened read-only cannot take over from a writable top.
    if (!isRefusal(error)) throw error
    const overlays = switches.map(({ to }) => to)
    if (!(await makeWritable(session, overlays))) throw error
    await session.execute('transaction', transaction)
  }
}

async function resizeLayer(session: QmpSession, layerId: string, bytes: number): Promise<void> {
  const name = formatNode(layerId)
  const node = await findNode(session, name)
  if (node === undefined) throw refused(`${name} is not open`)
  // QEMU shrinks without a word, and what lay behind the new end is gone.
  if (bytes < node.image['virtual-size']) throw refused(`${name} is larger than ${bytes} bytes: a disk never shrinks`)
  if (bytes === node.image['virtual-size']) return
  if (node.ro) await makeWritable(session, [name])
  await session.execute('block_resize', { 'node-name': name, size: bytes })
}
