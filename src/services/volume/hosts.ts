/** Where volumes live, as Cinder tells its operators: services, pools, zones. */
import type { Caller } from '../../domain/caller.js'
import type { Host, Pool } from '../../domain/host.js'
import { ANY } from '../../ports/stores.js'
import { allowAdmin, type VolumeDeps } from './access.js'

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

  listVolumePools: async (caller: Caller): Promise<VolumeBackend[]> => {
    allowAdmin(caller, 'scheduler_extension:scheduler_stats:get_pools')
    const hosts = await db.read.hosts.list(ANY)
    return (await db.read.pools.list(ANY)).flatMap((pool) => {
      const host = hosts.find((one) => one.id === pool.hostId)
      return host === undefined ? [] : [{ host, pool }]
    })
  },

  listVolumeZones: async (): Promise<{ name: string; available: boolean }[]> => [{ name: settings.availabilityZone, available: true }],
})

export type VolumeHostService = ReturnType<typeof createVolumeHostService>
