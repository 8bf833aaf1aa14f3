/** The disks of a server as its owner names them, and how a request to capture them treats each. */
import type { Disk } from '../../domain/disk.js'
import { DomainError } from '../../domain/errors.js'
import type { Pool } from '../../domain/host.js'
import type { Server } from '../../domain/server.js'
import type { SnapshotKind } from '../../domain/server-snapshot.js'
import type { Volume } from '../../domain/volume.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { attachmentsOf } from '../compute/servers-common.js'

export interface ServerDisk {
  readonly disk: Disk
  /** vda. */
  readonly device: string
  /** Undefined: the server's own root. */
  readonly volume: Volume | undefined
}

export interface DiskChoice {
  /** Device, or the volume's id or name. */
  readonly name: string
  readonly snapshot?: SnapshotKind | 'no' | undefined
  /** Name of the pool its overlay goes to. */
  readonly pool?: string | undefined
}

export interface ChosenDisk extends ServerDisk {
  readonly poolId: string
}

const deviceOf = (path: string): string => path.replace(/^\/dev\//, '')

/** What is plugged in, its root first; a volume on its way in or out is not there. */
export async function serverDisks(stores: Stores, server: Server): Promise<ServerDisk[]> {
  const attachments = (await attachmentsOf(stores, server.id)).filter((attachment) => attachment.status === 'attached')
  const disks = await stores.disks.list(ANY, { where: { serverId: { is: server.id } } })
  const volumes = await stores.volumes.list(ANY, { where: { id: { in: attachments.map((one) => one.volumeId) } } })
  const roots = disks.filter((disk) => disk.kind === 'root')
  return [
    ...roots.map((disk) => ({ disk, device: deviceOf(server.rootDeviceName), volume: undefined })),
    ...attachments.flatMap(({ diskId, volumeId, device }) => {
      const disk = disks.find((one) => one.id === diskId)
      return disk === undefined ? [] : [{ disk, device: deviceOf(device), volume: volumes.find((one) => one.id === volumeId) }]
    }),
  ]
}

/** The kind of all of it: as asked for as a whole, else as asked for of a disk. */
export function kindOf(kind: SnapshotKind | undefined, choices: readonly DiskChoice[]): SnapshotKind {
  const asked = choices.flatMap(({ snapshot }) => (snapshot === undefined || snapshot === 'no' ? [] : [snapshot]))
  const wanted = kind ?? asked[0] ?? 'external'
  if (asked.some((one) => one !== wanted))
    throw new DomainError(
      'invalid',
      'All disks of one server snapshot are of one kind: external and internal ones cannot be taken at one instant.',
    )
  return wanted
}

/** Every disk but those left out, each with the pool it goes on in. */
export async function chooseDisks(
  stores: Stores,
  { server, kind, choices }: { server: Server; kind: SnapshotKind; choices: readonly DiskChoice[] },
): Promise<ChosenDisk[]> {
  const disks = await serverDisks(stores, server)
  const asked = new Map<string, DiskChoice>()
  for (const choice of choices) {
    const { disk } = named(disks, choice.name, server)
    if (asked.has(disk.id)) throw new DomainError('invalid', `The disk "${choice.name}" is named twice.`)
    asked.set(disk.id, choice)
  }
  const taken = disks.filter(({ disk }) => asked.get(disk.id)?.snapshot !== 'no')
  if (disks.length === 0) throw new DomainError('invalidState', `Server ${server.id} has no disks.`)
  if (taken.length === 0) throw new DomainError('invalid', 'A server snapshot takes at least one disk.')
  const pools = await stores.pools.list(ANY, { where: { hostId: { is: server.hostId } } })
  return taken.map((one) => ({ ...one, poolId: poolOf(pools, one, asked.get(one.disk.id)?.pool, kind) }))
}

function named(disks: readonly ServerDisk[], name: string, server: Server): ServerDisk {
  const exact = disks.filter(
    ({ disk, device, volume }) => device === deviceOf(name) || disk.id === name || (volume !== undefined && volume.id === name),
  )
  const found = exact.length > 0 ? exact : disks.filter(({ volume }) => volume?.name === name)
  const [only] = found
  if (only === undefined) throw new DomainError('invalid', `Server ${server.id} has no disk "${name}".`)
  if (found.length > 1) throw new DomainError('invalid', `Server ${server.id} has several volumes of the name "${name}": give the id.`)
  return only
}

function poolOf(pools: readonly Pool[], { disk, device }: ServerDisk, wanted: string | undefined, kind: SnapshotKind): string {
  if (wanted === undefined) return disk.poolId
  if (kind === 'internal')
    throw new DomainError('invalid', `An internal snapshot stays in the file of its disk: "${device}" cannot go to another pool.`)
  const pool = pools.find((one) => one.name === wanted)
  if (pool === undefined) throw new DomainError('invalid', `The host of disk "${device}" has no pool "${wanted}".`)
  return pool.id
}
