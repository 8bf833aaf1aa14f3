/** A disk as its owner names it: by its volume, or, where it has none, by its own id; and whether its data may be moved now. */
import type { Caller } from '../../domain/caller.js'
import type { Disk } from '../../domain/disk.js'
import { DomainError } from '../../domain/errors.js'
import type { Server } from '../../domain/server.js'
import type { Volume, VolumeStatus } from '../../domain/volume.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { heldBy, scopeOf } from '../volume/access.js'

export interface OwnedDisk {
  readonly disk: Disk
  readonly volume: Volume | undefined
  /** Whose root it is, or where it is plugged in. */
  readonly server: Server | undefined
}

const MOVABLE: readonly VolumeStatus[] = ['available', 'in-use']
const AT_HAND: readonly Server['vmState'][] = ['active', 'paused', 'stopped', 'suspended']

export async function findDisk(stores: Stores, caller: Caller, id: string): Promise<OwnedDisk> {
  const scope = scopeOf(caller)
  const volume = await stores.volumes.find(scope, id)
  const disk = volume === undefined ? await stores.disks.find(scope, id) : await stores.disks.find(ANY, volume.diskId)
  if (disk === undefined || (volume === undefined && disk.kind !== 'root'))
    throw new DomainError('notFound', `Volume ${id} could not be found.`)
  return { disk, volume, server: disk.serverId === null ? undefined : await stores.servers.find(ANY, disk.serverId) }
}

/** Holds its row until the commit. Returns the layer the disk writes to. */
export async function requireMovable(stores: Stores, { disk, volume, server }: OwnedDisk): Promise<string> {
  const refuse = async (why: string) => new DomainError('invalidState', why, await heldBy(stores, `chain:${disk.id}`))
  if (volume !== undefined) {
    const { id, status } = volume
    if (!MOVABLE.includes(status)) throw await refuse(`Volume ${id} is ${status}: it must be available or in-use.`)
    if (!(await stores.volumes.transition(id, [status], { status })))
      throw await refuse(`Volume ${id} changed its status while it was looked at.`)
  } else if (server !== undefined) {
    const { id, vmState, taskState } = server
    if (!AT_HAND.includes(vmState) || taskState === 'deleting') throw await refuse(`Server ${id} is ${taskState ?? vmState}.`)
    if (!(await stores.servers.transition(id, { vmState: [vmState], taskState: [taskState] }, { vmState })))
      throw await refuse(`Server ${id} changed its state while it was looked at.`)
  }
  if (disk.topLayerId === null) throw await refuse(`Disk ${disk.id} holds nothing yet.`)
  return disk.topLayerId
}
