/**
 * QEMU's block jobs: started or found, waited for, completed, cancelled, forgotten. They finalize by
 * themselves but stay listed until dismissed, so that a worker that was away still learns how they ended.
 * The list decides, never an event and never the text of an error: a job that is not in it any more has an
 * unknown outcome.
 */
import { basename, dirname, isAbsolute } from 'node:path'
import { AdapterError, refused, unknown } from '../domain/errors.js'
import { formatNode } from '../domain/names.js'
import type { BlockJob, LayerFile, Merge } from '../ports/block.js'
import { listNodes, overlayOf } from './block-graph.js'
import { isRefusal, type QmpSession } from './qmp/session.js'
import { watch } from './qmp/watch.js'

/** How long we believe in the events before we look ourselves. */
const SAFETY_NET_MS = 1_000

export async function findBlockJob(session: QmpSession, id: string): Promise<BlockJob | undefined> {
  const job = (await session.execute('query-jobs')).find((entry) => entry.id === id)
  if (job === undefined) return undefined
  return {
    id,
    type: job.type,
    status: job.status,
    current: job['current-progress'],
    total: job['total-progress'],
    error: job.error,
  }
}

export async function startMergeJob(
  session: QmpSession,
  id: string,
  root: LayerFile,
  merge: Merge,
  speed: number | undefined,
): Promise<void> {
  if ((await findBlockJob(session, id)) !== undefined) return
  const job = { 'job-id': id, 'auto-finalize': true, 'auto-dismiss': false, ...(speed === undefined ? {} : { speed }) } as const
  if (merge.kind === 'stream') {
    const base =
      merge.base === null
        ? {}
        : { 'base-node': formatNode(merge.base.layerId), 'backing-file': backingName(merge.top.path, merge.base.path) }
    await session.execute('block-stream', { ...job, device: formatNode(merge.top.layerId), ...base })
    return
  }
  if (merge.base.format === 'raw') throw refused('a raw layer is never committed into')
  const nodes = { 'top-node': formatNode(merge.top.layerId), 'base-node': formatNode(merge.base.layerId) }
  const device = formatNode(root.layerId)
  if (merge.active) {
    await session.execute('block-commit', { ...job, device, ...nodes })
    return
  }
  const overlay = overlayOf(await listNodes(session), formatNode(merge.top.layerId))?.file
  if (overlay === undefined) throw refused(`nothing is open on top of ${nodes['top-node']}`)
  await session.execute('block-commit', { ...job, device, ...nodes, 'backing-file': backingName(overlay, merge.base.path) })
}

export async function waitForBlockJob(
  session: QmpSession,
  id: string,
  options: { signal: AbortSignal; onProgress?: (job: BlockJob) => void; until: 'ready' | 'concluded' },
): Promise<BlockJob | undefined> {
  const changes = watch(session, (e) => e.event === 'JOB_STATUS_CHANGE' && e.data.id === id && !NOISE.has(e.data.status))
  try {
    for (;;) {
      options.signal.throwIfAborted()
      const job = await findBlockJob(session, id)
      if (job === undefined || job.status === 'concluded') return job
      options.onProgress?.(job)
      if (options.until === 'ready' && job.status === 'ready') return job
      await changes.wait(SAFETY_NET_MS, options.signal)
    }
  } finally {
    changes.stop()
  }
}

export async function completeBlockJob(session: QmpSession, id: string): Promise<void> {
  const changes = watch(session, (e) => e.event === 'JOB_STATUS_CHANGE' && e.data.id === id)
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await session.execute('job-complete', { id })
        return
      } catch (error) {
        if (!isRefusal(error)) throw error
        const job = await findBlockJob(session, id)
        if (job !== undefined && COMPLETING.has(job.status)) return
        // Any other command may put a ready job on standby for a moment, and then it takes no orders.
        if (attempt === 5 || (job?.status !== 'standby' && job?.status !== 'ready')) throw error
        await changes.wait(SAFETY_NET_MS / 5)
      }
    }
  } finally {
    changes.stop()
  }
}

export async function cancelBlockJob(session: QmpSession, id: string): Promise<void> {
  const job = await findBlockJob(session, id)
  if (job === undefined || job.status === 'concluded') return
  await unlessAlready('concluded', session, id, () => session.execute('job-cancel', { id }))
  await waitForBlockJob(session, id, { signal: AbortSignal.timeout(CANCEL_MS), until: 'concluded' }).catch((cause: unknown) => {
    throw cause instanceof AdapterError ? cause : unknown(`block job ${id} does not end`, { cause })
  })
}

export async function dismissBlockJob(session: QmpSession, id: string): Promise<void> {
  if ((await findBlockJob(session, id)) === undefined) return
  await unlessAlready('gone', session, id, () => session.execute('job-dismiss', { id }))
}

const CANCEL_MS = 60_000
/** Every drain makes a job pause and run on: such events say nothing. */
const NOISE = new Set(['created', 'running', 'paused', 'standby', 'waiting', 'pending', 'aborting'])
const COMPLETING = new Set(['waiting', 'pending', 'concluded'])

/** A refusal because the job ended in between is what was wanted. */
async function unlessAlready(wanted: 'gone' | 'concluded', session: QmpSession, id: string, act: () => Promise<unknown>): Promise<void> {
  try {
    await act()
  } catch (error) {
    if (!isRefusal(error)) throw error
    const job = await findBlockJob(session, id)
    if (job !== undefined && (wanted === 'gone' || job.status !== 'concluded')) throw error
  }
}

/** The name `overlay` shall keep of its backing file: bare beside it, so that a pool can be moved; else whole. */
function backingName(overlay: string, backing: string): string {
  if (!isAbsolute(backing)) throw new TypeError(`not an absolute path: ${backing}`)
  return dirname(overlay) === dirname(backing) ? basename(backing) : backing
}
