/**
 * Data moved by a block job of QEMU's, whoever wants it moved: in the guest that has the chain open, else in a storage
 * daemon that ends with the work. A job that runs already is adopted; one that fails leaves the graph as it was and is
 * `Deferred`, for its caller to say what that means. Success is dismissed only once it is in our journal.
 */
import type { Limited } from '../domain/chain-operations.js'
import { AdapterError, DomainError, unknown } from '../domain/errors.js'
import { blockJobName } from '../domain/names.js'
import type { BlockHost, BlockJob, Chain } from '../ports/block.js'
import { ANY } from '../ports/stores.js'
import { Yielded } from './step.js'
import type { Tools } from './tools.js'

/** Not now, and not for a person to decide. */
export class Deferred extends Error {}

/** In the guest that has the chain open, else in a storage daemon that ends with the work. */
export async function onHost(
  tools: Tools,
  live: BlockHost | undefined,
  chain: Chain,
  work: (host: BlockHost) => Promise<void>,
  name = blockJobName('merge', chain[0]?.layerId ?? ''),
): Promise<void> {
  if (live !== undefined) return await work(live)
  await tools.files.verify(chain)
  const host = await tools.offlineHosts.open(name, chain)
  try {
    await work(host)
  } finally {
    await host.release()
  }
}

/** A failure is dismissed at once, to be tried again; success only once it is in our journal, but for a daemon that ends now. */
export async function settled(host: BlockHost, id: string, job: BlockJob): Promise<void> {
  if (job.error !== undefined || !host.live) await host.dismissJob(id)
  if (job.error !== undefined) throw new Deferred(`the block job failed: ${job.error}`)
}

export interface Wait {
  readonly id: string
  /** Layers it writes to. */
  readonly writes: readonly string[]
  readonly until: 'ready' | 'concluded'
  /** What ends it before: only the worker's own end, also whoever it is in the way of, also who asked for it. */
  readonly heeds: 'stop' | 'makeWay' | 'cancel'
  /** Follows the limit in the row of our job, which may change meanwhile. */
  readonly limited?: boolean
}

/** Makes way, or heeds a wish to cancel, by ending the block job, which leaves the graph as it was. */
export async function waitFor(tools: Tools, host: BlockHost, { id, writes, until, heeds, limited }: Wait): Promise<BlockJob> {
  const interrupts = [...(heeds === 'stop' ? [] : [tools.makeWay]), ...(heeds === 'cancel' ? [tools.cancel] : [])]
  try {
    const follow = limited === true ? followLimit(tools, host, id) : () => {}
    const onProgress = (job: BlockJob): void => {
      tools.report({ bytesDone: job.current, bytesTotal: job.total })
      follow()
    }
    const job = await host.waitForJob(id, { signal: AbortSignal.any([tools.stop, ...interrupts]), writes, onProgress, until })
    if (job === undefined) throw unknown('the block job is gone')
    return job
  } catch (error) {
    if (tools.stop.aborted || !interrupts.some((signal) => signal.aborted)) throw error
    await host.cancelJob(id)
    await host.dismissJob(id)
    throw heeds === 'cancel' && tools.cancel.aborted ? new DomainError('invalidState', 'The operation was cancelled.') : new Yielded()
  }
}

export const limitOf = async (tools: Tools): Promise<number> =>
  ((await tools.db.read.jobs.find(ANY, tools.jobId))?.input as Partial<Limited> | undefined)?.bytesPerSecond ?? 0

/** What it cannot be told now it is told at the next turn. */
function followLimit(tools: Tools, host: BlockHost, id: string): () => void {
  let said: number | undefined
  let busy = false
  const tell = async (): Promise<void> => {
    const wanted = await limitOf(tools)
    if (wanted !== said) await host.setSpeed(id, wanted)
    said = wanted
  }
  return () => {
    if (busy) return
    busy = true
    void tell()
      .catch(() => {})
      .finally(() => {
        busy = false
      })
  }
}

/** Do the headers say this chain already? Then the data was moved before a crash, and only our rows are behind. */
export async function standsOn(tools: Tools, chain: Chain): Promise<boolean> {
  try {
    await tools.files.verify(chain)
    return true
  } catch (error) {
    if (error instanceof AdapterError && error.outcome === 'refused') return false
    throw error
  }
}
