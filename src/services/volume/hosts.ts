/** Where volumes live, as Cinder tells its operators: services, pools, zones. */
import type { Caller } from '../../domain/caller.js'
import type { Host, Pool } from '../../domain/host.js'
import { ANY } from '../../ports/stores.js'
import { allowAdmin, locationOf, type VolumeDeps } from './access.js'
import { findTypeByNameOrId } from './type-lookup.js'

export interface VolumePoolFilter {
  readonly name?: string | undefined
  readonly volumeType?: string | undefined
  /** By something no pool has. */
  readonly none?: boolean
}

export interface VolumeBackend {
  readonly host: Host
  readonly pool: Pool
}

export const createVolumeHostService = ({ db, settings }: Pick<VolumeDeps, 'db' | 'settings'>) => ({
  listVolumeHosts: async (
    caller: Caller,
    filter: { host?: string | undefined; binary?: string | undefined },
  ): Promise<{ hosts: Host[]; zone: string }> => {
    allowAdmin(caller, 'volume_extension:services:index')
    const hosts = filter.binary === undefined || filter.binary === 'cinder-volume' ? await db.read.hosts.list(ANY) : []
    const asked = hosts.filter((host) => filter.host === undefined || [host.id, `${host.id}@strata`].includes(filter.host))
    return { hosts: asked, zone: settings.availabilityZone }
  },

  /** One back end serves every type: naming a type that exists leaves all pools. */
  listVolumePools: async (caller: Caller, { name, volumeType, none }: VolumePoolFilter): Promise<VolumeBackend[]> => {
    allowAdmin(caller, 'scheduler_extension:scheduler_stats:get_pools')
    if (volumeType !== undefined) await findTypeByNameOrId(db.read, caller, volumeType)
    const hosts = await db.read.hosts.list(ANY)
    const pools = none === true ? [] : await db.read.pools.list(ANY)
    return pools.flatMap((pool) => {
      const host = hosts.find((one) => one.id === pool.hostId)
      if (host === undefined || (name !== undefined && name !== locationOf(host.id, pool.name))) return []
      return [{ host, pool }]
    })
  },

  listVolumeZones: async (): Promise<{ name: string; available: boolean }[]> => [{ name: settings.availabilityZone, available: true }],
})

export type VolumeHostService = ReturnType<typeof createVolumeHostService>
