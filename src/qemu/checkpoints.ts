/**
 * The Checkpoints port over one QMP session. `snapshot-save`, `-load` and `-delete` occupy QEMU's main loop from end to
 * end: no monitor answers meanwhile, and the reply to the command itself may come after the work. So the command may take
 * as long as memory of any size takes, and whoever asks beside it hears nothing for so long.
 */
import { refused, unknown } from '../domain/errors.js'
import { fileNode, formatNode, shortId } from '../domain/names.js'
import type { Micros } from '../domain/time.js'
import type { LayerFile } from '../ports/block.js'
import type { Checkpoint, CheckpointJob, Checkpoints } from '../ports/checkpoints.js'
import { listNodes, nodesOfJob } from './block-graph.js'
import { closeNode } from './block-host.js'
import type { AddNode, JobInfo } from './qmp/block-types.js'
import { isRefusal, type QmpSession } from './qmp/session.js'
import { watch } from './qmp/watch.js'

const SILENCE_MS = 600_000
/** How long we believe in the events before we look ourselves. */
const SAFETY_NET_MS = 1_000

export function createCheckpoints(session: QmpSession, grant: (path: string) => Promise<void>): Checkpoints {
  const jobOf = async (id: string): Promise<JobInfo | undefined> =>
    (await session.execute('query-jobs', {}, { timeoutMs: SILENCE_MS })).find((job) => job.id === id)

  const concluded = async (id: string): Promise<JobInfo | undefined> => {
    const changes = watch(session, (e) => e.event === 'JOB_STATUS_CHANGE' && e.data.id === id && e.data.status === 'concluded')
    try {
      for (;;) {
        const job = await jobOf(id)
        if (job === undefined || job.status === 'concluded') return job
        await changes.wait(SAFETY_NET_MS)
      }
    } finally {
      changes.stop()
    }
  }

  const dismiss = async (id: string): Promise<void> => {
    if ((await concluded(id)) === undefined) return
    await session.execute('job-dismiss', { id }).catch(async (error: unknown) => {
      if (!isRefusal(error) || (await jobOf(id)) !== undefined) throw error
    })
  }

  /** Begun, or found begun; resolves once it is concluded well, and it stays listed. */
  const perform = async (command: 'snapshot-save' | 'snapshot-load' | 'snapshot-delete', checkpoint: Checkpoint): Promise<void> => {
    const { jobId, tag } = checkpoint
    const devices = checkpoint.holders.map(formatNode)
    // One that failed under this name was an earlier attempt.
    if ((await jobOf(jobId))?.error !== undefined) await dismiss(jobId)
    if ((await jobOf(jobId)) === undefined) {
      const state = command === 'snapshot-delete' ? {} : { vmstate: devices[0] ?? '' }
      await session.execute(command, { 'job-id': jobId, tag, devices, ...state }, { timeoutMs: SILENCE_MS })
    }
    const job = await concluded(jobId)
    if (job === undefined) throw unknown(`${command} ${jobId} is listed no more`)
    if (job.error !== undefined) throw refused(`${command}: ${job.error}`, /No space left/.test(job.error) ? { reason: 'no-space' } : {})
  }

  const load = async (checkpoint: Checkpoint): Promise<void> => {
    if ((await jobOf(checkpoint.jobId)) === undefined) {
      const { status } = await session.execute('query-status')
      if (status !== 'prelaunch') throw refused(`a checkpoint is loaded before a guest runs, not while it is ${status}`)
    }
    const nodes = await session.execute('query-named-block-nodes', { flat: true })
    const holdsState = (holder: string): boolean =>
      nodes
        .find((node) => node['node-name'] === formatNode(holder))
        ?.image.snapshots?.some(({ name, 'vm-state-size': size }) => name === checkpoint.tag && size > 0) === true
    const holders = checkpoint.holders.toSorted((a, b) => Number(holdsState(b)) - Number(holdsState(a)))
    await perform('snapshot-load', { ...checkpoint, holders })
  }

  return {
    async save(checkpoint) {
      if ((await jobOf(checkpoint.jobId)) === undefined) {
        const busy = await busyNode(session, checkpoint.holders.map(formatNode))
        if (busy !== undefined) throw refused(`a block job works on ${busy}`)
      }
      const pause = timePause(session)
      try {
        await perform('snapshot-save', checkpoint)
        return pause.length()
      } finally {
        pause.stop()
      }
    },
    load,
    async loadFrom(file, scratch, checkpoint) {
      const nodes = nodesThrough(file, scratch)
      try {
        for (const path of [file.path, scratch]) await grant(path)
        for (const node of nodes) await session.execute('blockdev-add', node)
        await load({ ...checkpoint, holders: [file.layerId] })
      } finally {
        for (const node of nodes.toReversed()) await closeNode(session, node['node-name'])
      }
    },
    async remove(checkpoint) {
      await perform('snapshot-delete', checkpoint)
      await dismiss(checkpoint.jobId)
    },
    async job(id): Promise<CheckpointJob> {
      const job = await jobOf(id)
      if (job === undefined) return 'absent'
      if (job.status !== 'concluded') return 'running'
      return job.error === undefined ? 'done' : 'failed'
    },
    dismiss,
  }
}

/** A file of machine state as a format node whose file is a scratch overlay on it. */
function nodesThrough(file: LayerFile, scratch: string): AddNode[] {
  const [bytes, overlay, view] = [fileNode(file.layerId), `y-${shortId(file.layerId)}`, `z-${shortId(file.layerId)}`]
  return [
    { driver: 'file', 'node-name': bytes, filename: file.path, 'read-only': true },
    { driver: 'file', 'node-name': overlay, filename: scratch },
    { driver: 'qcow2', 'node-name': view, file: overlay, backing: bytes },
    { driver: 'qcow2', 'node-name': formatNode(file.layerId), file: view, backing: null },
  ]
}

/** A node in one of the chains that a block job works on. */
async function busyNode(session: QmpSession, tops: readonly string[]): Promise<string | undefined> {
  const jobs = await session.execute('query-block-jobs')
  if (jobs.length === 0) return undefined
  const backings = new Map((await listNodes(session)).map((node) => [node.node, node.backing]))
  const chains = new Set<string>()
  for (const top of tops) for (let node: string | undefined = top; node !== undefined; node = backings.get(node)) chains.add(node)
  for (const job of jobs) for (const node of await nodesOfJob(session, job.device)) if (chains.has(node)) return node
  return undefined
}

/** Between the guest's stop and its going on, by QEMU's own clock. */
function timePause(session: QmpSession): { length(): Micros | undefined; stop(): void } {
  let stopped: Micros | undefined
  let stood: Micros | undefined
  const off = session.onEvent(({ event, timestamp: at }) => {
    if (at === undefined) return
    const now = at.seconds * 1_000_000 + at.microseconds
    if (event === 'STOP') stopped = now
    if (event === 'RESUME' && stopped !== undefined) stood = now - stopped
  })
  return { length: () => stood, stop: off }
}
