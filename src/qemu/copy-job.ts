/**
 * A disk copied whole into one new file while it is in use. QEMU checks the sizes only after it has said yes, so they are
 * compared here; and it does not give the target a backing, so the target must stand on nothing. Its end is another's:
 * completed, the disk moves to the target (the caller stops the guest for that, as for a commit); ended, nothing moves.
 */
import { refused } from '../domain/errors.js'
import { formatNode } from '../domain/names.js'
import type { LayerFile } from '../ports/block.js'
import { listNodes } from './block-graph.js'
import { findBlockJob } from './block-job.js'
import { isRefusal, type QmpSession } from './qmp/session.js'

export async function startCopyJob(
  session: QmpSession,
  id: string,
  source: LayerFile,
  target: LayerFile,
  speed: number | undefined,
): Promise<void> {
  if ((await findBlockJob(session, id)) !== undefined) return
  const [device, to] = [formatNode(source.layerId), formatNode(target.layerId)]
  const nodes = await listNodes(session)
  const [from, into] = [device, to].map((name) => nodes.find((one) => one.node === name))
  if (from === undefined || into === undefined) throw refused(`${from === undefined ? device : to} is not open`)
  if (into.backing !== undefined || into.virtualSize !== from.virtualSize) throw refused(`${to} is not an empty disk as large as ${device}`)
  await session.execute('blockdev-mirror', {
    'job-id': id,
    device,
    target: to,
    sync: 'full',
    'copy-mode': 'background',
    'auto-finalize': true,
    'auto-dismiss': false,
    ...(speed === undefined ? {} : { speed }),
  })
}

/** Of one that ended in between: what came of it is in the list of jobs. */
export async function endCopyJob(session: QmpSession, id: string): Promise<void> {
  try {
    await session.execute('block-job-cancel', { device: id, force: false })
  } catch (error) {
    if (!isRefusal(error) || (await findBlockJob(session, id))?.status !== 'concluded') throw error
  }
}
