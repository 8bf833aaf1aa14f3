/** The name of the strategy that takes a snapshot of these disks together: the winner of the bids, from recorded facts. */
import type { Disk } from '../domain/disk.js'
import { ANY, type Stores } from '../ports/stores.js'
import { selectStrategy } from '../strategies/select.js'

export async function strategyFor(stores: Stores, disks: readonly Disk[], serverId: string | null): Promise<string> {
  const tops = disks.flatMap((disk) => (disk.topLayerId === null ? [] : [disk.topLayerId]))
  const layers = tops.length === 0 ? [] : await stores.layers.list(ANY, { where: { id: { in: tops } } })
  const server = serverId === null ? undefined : await stores.servers.find(ANY, serverId)
  const formats = layers.map((layer) => layer.format)
  const target = { kind: 'external', formats, vmState: server?.vmState ?? null, disks: disks.length, withMemory: false } as const
  return selectStrategy(target).name
}
