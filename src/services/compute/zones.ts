/** The one availability zone and the hosts in it. */
import type { Caller } from '../../domain/caller.js'
import { ANY } from '../../ports/stores.js'
import { type ComputeDeps, requireAdmin } from './servers-common.js'

export type ComputeZoneService = ReturnType<typeof createComputeZoneService>

export function createComputeZoneService({ db, settings }: Pick<ComputeDeps, 'db'> & { settings: { availabilityZone: string } }) {
  const detail = async () => {
    const hosts = await db.read.hosts.list(ANY)
    return {
      name: settings.availabilityZone,
      available: hosts.some((host) => host.state === 'up'),
      hosts: hosts.map((host) => ({ id: host.id, up: host.state === 'up', heartbeatAt: host.heartbeatAt })),
    }
  }
  return {
    show: detail,
    async detail(caller: Caller) {
      requireAdmin(caller, 'os-availability-zone:detail')
      return detail()
    },
  }
}
