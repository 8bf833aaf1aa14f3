/** A disk's chain as it is told: each layer with what it takes on the host, and who keeps it. Names of others' things are not told. */
import type { Caller } from '../../domain/caller.js'
import { type EffectivePolicy, effectivePolicy, policyIds } from '../../domain/chain-policy.js'
import type { ChainLink } from '../../domain/chain-rules.js'
import type { Layer } from '../../domain/disk.js'
import { AdapterError, DomainError } from '../../domain/errors.js'
import { formatNode } from '../../domain/names.js'
import type { HostAuditor, SeenStorage } from '../../ports/auditor.js'
import { ANY, type Database, type Stores } from '../../ports/stores.js'
import { originOf } from '../volume/access.js'
import { findDisk, type OwnedDisk } from './chain-disks.js'

export interface Pin {
  readonly kind: 'volume' | 'disk' | 'snapshot' | 'server_snapshot' | 'image' | 'server'
  /** Both null: of another project. */
  readonly id: string | null
  readonly name: string | null
}

export interface ShownLayer {
  readonly layer: Layer
  readonly pool: string
  /** Bytes on the host; null: there is no such file. */
  readonly allocated: number | null
  readonly children: number
  readonly pinnedBy: readonly Pin[]
  readonly internalSnapshots: readonly string[]
  /** In a running guest. */
  readonly open: boolean
}

export interface ShownChain extends OwnedDisk {
  readonly policy: EffectivePolicy
  /** Unfinished jobs that move its data. */
  readonly jobs: readonly string[]
  /** From the top, which is written to, down. */
  readonly layers: readonly ShownLayer[]
}

export async function showChain(deps: { db: Database; auditor: HostAuditor }, caller: Caller, id: string): Promise<ShownChain> {
  const { read } = deps.db
  const owned = await findDisk(read, caller, id)
  const { disk } = owned
  const links = disk.topLayerId === null ? [] : await read.layers.links(disk.topLayerId)
  const pools = new Map((await read.pools.list(ANY)).map((pool) => [pool.id, pool]))
  const chain = links.map(({ layer }) => ({
    layerId: layer.id,
    path: `${pools.get(layer.poolId)?.path}/${layer.fileName}`,
    format: layer.format,
    virtualSize: layer.virtualSize,
  }))
  // A disk at rest has no guest, and no process is named after it.
  const request = { serverId: disk.serverId ?? disk.id, disks: [{ diskId: disk.id, chain }], directories: [] }
  const seen = await deps.auditor.observe(disk.hostId, request, originOf(caller)).catch((cause: unknown) => {
    if (!(cause instanceof AdapterError)) throw cause
    throw new DomainError('unavailable', `Host ${disk.hostId} did not tell what is on its disks. Please try again later.`, { cause })
  })
  const layers: ShownLayer[] = []
  for (const link of links) layers.push(await shown(read, caller, link, pools.get(link.layer.poolId)?.name ?? '', seen))
  const policy = effectivePolicy(await read.chainPolicies.list(ANY, { where: { id: { in: policyIds(disk) } } }), disk)
  return { ...owned, policy, jobs: (await read.jobs.unfinished('disk', disk.id)).map((job) => job.id), layers }
}

async function shown(stores: Stores, caller: Caller, link: ChainLink, pool: string, seen: SeenStorage): Promise<ShownLayer> {
  const { layer, pins, children, tags } = link
  const pinnedBy: Pin[] = []
  for (const pin of pins) pinnedBy.push(await nameOf(stores, caller, pin))
  return {
    layer,
    pool,
    allocated: seen.disks[0]?.files.find((file) => file.layerId === layer.id)?.allocated ?? null,
    children: children.length,
    pinnedBy,
    internalSnapshots: tags,
    open: seen.nodes.some((node) => node.node === formatNode(layer.id)),
  }
}

/** What keeps a layer, by the names its owner gave. */
export async function nameOf(stores: Stores, caller: Caller, { kind, id }: ChainLink['pins'][number]): Promise<Pin> {
  const found = await pinOf(stores, kind, id)
  const isTold = caller.isAdmin || found.projectId === caller.projectId || found.isPublic === true
  return { kind: found.kind, id: isTold ? found.id : null, name: isTold ? found.name : null }
}

interface FoundPin extends Pin {
  readonly projectId: string | undefined
  readonly isPublic?: boolean
}

async function pinOf(stores: Stores, kind: string, id: string): Promise<FoundPin> {
  if (kind === 'disk') {
    const [volume] = await stores.volumes.list(ANY, { where: { diskId: { is: id } }, limit: 1 })
    if (volume !== undefined) return { kind: 'volume', id: volume.id, name: volume.name, projectId: volume.projectId }
    return { kind: 'disk', id, name: null, projectId: (await stores.disks.find(ANY, id))?.projectId }
  }
  if (kind === 'disk_snapshot') {
    const part = await stores.diskSnapshots.find(ANY, id)
    const whole = part && (await stores.serverSnapshots.find(ANY, part.serverSnapshotId))
    return { kind: 'server_snapshot', id: whole?.id ?? null, name: whole?.name ?? null, projectId: whole?.projectId }
  }
  if (kind === 'image') {
    const image = await stores.images.find(ANY, id)
    return { kind, id, name: image?.name ?? null, projectId: image?.projectId, isPublic: image?.visibility === 'public' }
  }
  const named = kind === 'snapshot' ? await stores.snapshots.find(ANY, id) : await stores.servers.find(ANY, id)
  return { kind: kind === 'snapshot' ? 'snapshot' : 'server', id, name: named?.name ?? null, projectId: named?.projectId }
}
