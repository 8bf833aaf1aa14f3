/** The snapshots of a server as the tree they form, and what the server's present grew from, disk by disk. */
import type { Caller } from '../../domain/caller.js'
import type { Layer } from '../../domain/disk.js'
import type { Server } from '../../domain/server.js'
import type { DiskSnapshot } from '../../domain/server-snapshot.js'
import { rootsIn } from '../../domain/snapshot-tree.js'
import type { Stores } from '../../ports/stores.js'
import { type ServerDisk, serverDisks } from './server-disks.js'
import { describe, requireServer, type ServerSnapshotRecord, snapshotsOf } from './server-snapshots-common.js'

/** A disk as it is now: its top belongs to no snapshot. */
export interface PresentDisk extends ServerDisk {
  /** What the guest writes to, and how many layers it reads from, itself included. */
  readonly top: Layer | undefined
  readonly depth: number
  /** The nearest server snapshot whose bytes it stands on; null: on none. */
  readonly grownFrom: string | null
}

export interface SnapshotTree {
  readonly server: Server
  readonly nodes: readonly ServerSnapshotRecord[]
  readonly roots: readonly string[]
  readonly present: readonly PresentDisk[]
}

export async function treeOf(stores: Stores, caller: Caller, serverId: string): Promise<SnapshotTree> {
  const server = await requireServer(stores, caller, serverId)
  const all = await snapshotsOf(stores, serverId)
  const nodes = await describe(stores, serverId, all)
  const parts = nodes.flatMap(({ disks }) => disks)
  const present = (await serverDisks(stores, server)).map(async (disk): Promise<PresentDisk> => {
    const { topLayerId, id } = disk.disk
    const chain = topLayerId === null ? [] : await stores.layers.chain(topLayerId)
    return {
      ...disk,
      top: chain[0],
      depth: chain.length,
      grownFrom: nearest(
        chain,
        parts.filter((part) => part.diskId === id),
      ),
    }
  })
  return { server, nodes, roots: rootsIn(all).map((snapshot) => snapshot.id), present: await Promise.all(present) }
}

/** Of several tags in one layer the last that was taken. */
function nearest(chain: readonly Layer[], parts: readonly DiskSnapshot[]): string | null {
  for (const layer of chain) {
    const here = parts.filter((part) => part.layerId === layer.id).toSorted((a, b) => b.seq - a.seq)
    if (here[0] !== undefined) return here[0].serverSnapshotId
  }
  return null
}
