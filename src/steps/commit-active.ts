/**
 * A disk's top, with what lies between, goes down into a layer below, and the guest's disk moves there. The hard case:
 * QEMU dies around the end of it. Before it the top has the truth, after it the base, and the files cannot tell. So the
 * guest stands still from `job-complete` until the row that says which layer is the top (a few milliseconds): within that
 * time both have it, and doing the commit again from the top is right.
 */
import { formatNode } from '../domain/names.js'
import type { Chain, LayerFile, Merge } from '../ports/block.js'
import { Deferred, limitOf, onHost, settled, type Wait, waitFor } from './block-work.js'
import type { LiveDisk } from './places.js'
import { Yielded } from './step.js'
import type { Tools } from './tools.js'
import { holdStill } from './wake-guest.js'

export interface ActiveCommit {
  /** Of the block job. */
  readonly id: string
  /** From the top down. */
  readonly chain: Chain
  readonly top: LayerFile
  readonly base: LayerFile
  /** The running guest whose disk it is. */
  readonly reader: LiveDisk | undefined
  readonly heeds: Wait['heeds']
  readonly limited?: boolean
}

export async function commitActive(tools: Tools, { id, chain, top, base, reader, heeds, limited = false }: ActiveCommit): Promise<void> {
  const merge: Merge = { kind: 'commit', active: true, top, base }
  const writes = [base.layerId]
  await onHost(tools, reader?.guest.blocks, chain, async (host) => {
    const switched = async (): Promise<boolean> => reader !== undefined && (await host.topNode(reader.diskId)) === formatNode(base.layerId)
    if (await switched()) return
    let job = await host.blockJob(id)
    if (job?.status === 'concluded') {
      await host.dismissJob(id)
      job = undefined
    }
    if (job === undefined) await host.startMerge(id, top, merge, limited ? { speed: await limitOf(tools) } : {})
    const standing = holdStill(tools, reader?.guest)
    try {
      const ready = await waitFor(tools, host, { id, writes, until: 'ready', heeds, limited })
      if (ready.status === 'concluded') await settled(host, id, ready)
      await standing.begin()
      await host.completeJob(id)
      // Beyond this there is no making way: the disk is being switched.
      await settled(host, id, await waitFor(tools, host, { id, writes, until: 'concluded', heeds: 'stop' }))
    } catch (error) {
      // Not when told to stop: whoever takes over finds the guest standing, and goes on from there.
      if (!tools.stop.aborted && !(await switched())) await standing.rouse()
      // A commit that ended without effect leaves its base open for writing: nobody else could read it.
      if (error instanceof Yielded || error instanceof Deferred) await host.seal(base.layerId)
      throw error
    }
  })
}
