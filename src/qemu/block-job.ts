/**
 * QEMU's block jobs: started or found, waited for, completed, cancelled, forgotten. The list of jobs decides; one
 * that is in it no more has an unknown outcome, and the graph tells. Two hazards shape this file:
 *
 * QEMU ends a stream or an inner commit by writing the new backing name into a header while the map of what it copied
 * is still in its own memory. Killed then, the file says it needs nothing below and has nothing itself. So these jobs
 * stand in `pending` until what they wrote is flushed, and are finalized by us; flushed once more, the header too is
 * on disk before anyone hears of success and unlinks a layer. An active commit cannot stand there, for it would freeze
 * the guest's I/O: its caller stops the guest and keeps both layers until the result is recorded.
 *
 * A stream that has ended but is still listed leaves a torn filter behind, and QEMU 7.2 crashes, guest and all, when
 * anyone asks it for its nodes. So streams are dismissed by QEMU as they end, and their result comes by event; commits
 * stay listed until dismissed, so that a worker that was away still learns how they ended.
 */
import { basename, dirname, isAbsolute } from 'node:path'
import { AdapterError, refused, unknown } from '../domain/errors.js'
import { formatNode } from '../domain/names.js'
import type { BlockJob, LayerFile, Merge } from '../ports/block.js'
import { listNodes, nodesOfJob, overlayOf } from './block-graph.js'
import { flushNodes } from './block-reopen.js'
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
  const isActive = merge.kind === 'commit' && merge.active
  const job = {
    'job-id': id,
    'auto-finalize': isActive,
    'auto-dismiss': merge.kind === 'stream',
    ...(speed === undefined ? {} : { speed }),
  }
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
  if (isActive) {
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
  options: { signal: AbortSignal; writes?: readonly string[]; onProgress?: (job: BlockJob) => void; until: 'ready' | 'concluded' },
): Promise<BlockJob | undefined> {
  let ended: { error?: string } | undefined
  const changes = watch(session, (e) => {
    if (e.event === 'BLOCK_JOB_COMPLETED' && e.data.device === id) ended = e.data
    if (e.event === 'BLOCK_JOB_CANCELLED' && e.data.device === id) ended = { error: 'cancelled' }
    return e.event === 'JOB_STATUS_CHANGE' && e.data.id === id && !NOISE.has(e.data.status)
  })
  let last: BlockJob | undefined
  let written = options.writes?.map(formatNode)
  try {
    for (;;) {
      options.signal.throwIfAborted()
      const listed = await findBlockJob(session, id)
      // One dismissed by QEMU itself: we saw it, and saw its end.
      const seen =
        listed === undefined && last !== undefined && ended !== undefined ? { ...last, ...CONCLUDED, error: ended.error } : undefined
      const job = listed ?? seen
      if (listed !== undefined && listed.status !== 'concluded') written ??= await nodesOfJob(session, id)
      if (job?.status === 'concluded' && job.error === undefined) await flushNodes(session, written ?? [])
      if (job === undefined || job.status === 'concluded') return job
      options.onProgress?.(job)
      if (options.until === 'ready' && job.status === 'ready') return job
      if (job.status === 'pending') {
        await flushNodes(session, written ?? [])
        await unlessAlready('concluded', session, id, () => session.execute('job-finalize', { id }))
      } else await changes.wait(SAFETY_NET_MS, options.signal)
      last = job
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

export async function setJobSpeed(session: QmpSession, id: string, speed: number): Promise<void> {
  await unlessAlready('gone', session, id, () => session.execute('block-job-set-speed', { device: id, speed }))
}

const CANCEL_MS = 60_000
/** Every drain makes a job pause and run on: such events say nothing. */
const NOISE = new Set(['created', 'running', 'paused', 'standby', 'waiting', 'aborting'])
const CONCLUDED = { status: 'concluded' } as const
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
