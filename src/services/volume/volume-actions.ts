/** Actions on a volume that are one row's change, and `os-extend`, which is a job. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Metadata } from '../../domain/metadata.js'
import { extendVolume } from '../../domain/operations.js'
import { promisedGib } from '../../domain/quota.js'
import type { VolumeStatus } from '../../domain/volume.js'
import { ANY } from '../../ports/stores.js'
import { checkVolumeSize, moveTypeQuota, takeGrowthQuota } from '../quota.js'
import { refuseSaved } from '../saved-state.js'
import {
  allowAdmin,
  allowMember,
  findVolume,
  GIB,
  heldBy,
  holdVolume,
  invalidInput,
  invalidVolume,
  originOf,
  type VolumeDeps,
} from './access.js'
import { findTypeByNameOrId } from './type-lookup.js'

export const createVolumeActions = (deps: VolumeDeps) => ({
  /** `alsoInUse` from 3.42: a volume may grow while its guest runs. */
  extendVolume: async (caller: Caller, id: string, sizeGib: number, alsoInUse: boolean): Promise<void> => {
    const hostId = await deps.db.transaction(async (stores) => {
      const volume = await holdVolume(deps, stores, caller, id)
      allowMember(caller, 'volume:extend')
      const disk = await stores.disks.find(ANY, volume.diskId)
      const expected: VolumeStatus = alsoInUse && volume.status === 'in-use' ? 'in-use' : 'available'
      if (disk?.topLayerId == null || volume.status !== expected)
        throw invalidVolume(
          `Volume ${id} status must be '{'status': '${expected}'}' to extend, currently ${volume.status}.`,
          await heldBy(stores, `chain:${volume.diskId}`),
        )
      if (disk.serverId !== null) await refuseSaved(stores, disk.serverId, 'extend_volume')
      if (sizeGib <= volume.sizeGib)
        throw invalidInput(`New size for extend must be greater than current size. (current: ${volume.sizeGib}, extended: ${sizeGib}).`)
      const type = await stores.volumeTypes.find(ANY, volume.volumeTypeId)
      await checkVolumeSize(stores, volume.projectId, sizeGib)
      // Where an operator has reset the status, another extension may be under way, and its size is taken already.
      const taken = promisedGib(volume, await stores.jobs.unfinished('volume', id))
      await takeGrowthQuota(stores, volume.projectId, id, type?.name ?? volume.volumeTypeId, sizeGib - taken)
      const patch = { status: 'extending', previousStatus: volume.status, updatedAt: deps.clock.now() } as const
      if (!(await stores.volumes.transition(id, [expected], patch)))
        throw invalidVolume(`Volume ${id} status must be '{'status': '${expected}'}' to extend, currently ${volume.status}.`)
      await stores.jobs.enqueue(
        extendVolume,
        { volumeId: id, diskId: disk.id, serverId: disk.serverId, virtualSize: sizeGib * GIB, sizeGib },
        { hostId: disk.hostId, origin: originOf(caller) },
      )
      return disk.hostId
    })
    deps.doorbell.ring(hostId)
  },

  /** Cinder's way out for operators: any status from any other, no questions asked. Locks and jobs stay as they are. */
  resetVolumeStatus: (caller: Caller, id: string, status: VolumeStatus | null): Promise<void> =>
    deps.db.transaction(async (stores) => {
      const volume = await findVolume(stores, caller, id)
      allowAdmin(caller, 'volume_extension:volume_admin_actions:reset_status')
      if (status !== null) await stores.volumes.transition(volume.id, [volume.status], { status, updatedAt: deps.clock.now() })
    }),

  setVolumeBootable: (caller: Caller, id: string, bootable: boolean): Promise<void> =>
    deps.db.transaction(async (stores) => {
      await findVolume(stores, caller, id)
      allowMember(caller, 'volume:update')
      await stores.volumes.update(id, { bootable, updatedAt: deps.clock.now() })
    }),

  setVolumeReadonly: (caller: Caller, id: string, readonly: boolean): Promise<void> =>
    deps.db.transaction(async (stores) => {
      const volume = await findVolume(stores, caller, id)
      allowMember(caller, 'volume:update_readonly_flag')
      const expected: readonly VolumeStatus[] = ['available']
      if (!(await stores.volumes.transition(id, expected, { readonly, updatedAt: deps.clock.now() })))
        throw invalidVolume(
          `Volume ${id} status must be available to update readonly flag, but current status is: ${volume.status}.`,
          await heldBy(stores, `chain:${volume.diskId}`),
        )
    }),

  /** One back end: another type is another label, so `retyping` is over before anybody could look. */
  retypeVolume: (caller: Caller, id: string, newType: string): Promise<void> =>
    deps.db.transaction(async (stores) => {
      const volume = await holdVolume(deps, stores, caller, id)
      allowMember(caller, 'volume:retype')
      const type = await findTypeByNameOrId(stores, caller, newType)
      const changed =
        type.id !== volume.volumeTypeId &&
        (await stores.volumes.transition(id, ['available', 'in-use'], { volumeTypeId: type.id, updatedAt: deps.clock.now() }))
      if (!changed)
        throw invalidVolume(
          'Retype needs volume to be in available or in-use state, not be part of an active migration or a consistency group, requested type has to be different that the one from the volume, and for in-use volumes front-end qos specs cannot change.',
          await heldBy(stores, `chain:${volume.diskId}`),
        )
      await moveTypeQuota(stores, volume, type.name)
    }),

  showVolumeImageMetadata: async (caller: Caller, id: string): Promise<Metadata> =>
    (await findVolume(deps.db.read, caller, id)).imageMetadata ?? {},

  setVolumeImageMetadata: <R>(caller: Caller, id: string, metadata: Metadata, reply: (metadata: Metadata) => R): Promise<R> =>
    deps.db.transaction(async (stores) => {
      const volume = await holdVolume(deps, stores, caller, id)
      allowMember(caller, 'volume_extension:volume_image_metadata:set')
      refuseBusy(volume.status, 'Updating')
      const next = { ...volume.imageMetadata, ...metadata }
      await stores.volumes.update(id, { imageMetadata: next, updatedAt: deps.clock.now() })
      return reply(next)
    }),

  unsetVolumeImageMetadata: (caller: Caller, id: string, key: string): Promise<void> =>
    deps.db.transaction(async (stores) => {
      const volume = await holdVolume(deps, stores, caller, id)
      allowMember(caller, 'volume_extension:volume_image_metadata:remove')
      refuseBusy(volume.status, 'Deleting')
      const old = volume.imageMetadata ?? {}
      if (!Object.hasOwn(old, key)) throw new DomainError('notFound', `Glance metadata for volume/snapshot ${id} cannot be found.`)
      const { [key]: _, ...rest } = old
      await stores.volumes.update(id, { imageMetadata: rest, updatedAt: deps.clock.now() })
    }),
})

function refuseBusy(status: VolumeStatus, doing: 'Updating' | 'Deleting'): void {
  if (status === 'maintenance' || status === 'uploading')
    throw invalidVolume(`${doing} volume metadata is not allowed for volumes in ${status} status.`)
}
