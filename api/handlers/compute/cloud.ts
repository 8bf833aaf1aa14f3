import { MAX_KEYPAIRS } from '../../../src/services/compute/keypairs.js'
import { MAX_METADATA_ITEMS } from '../../../src/services/compute/servers-common.js'
import type { Handler } from '../../contract.js'

/** What this cloud has no kind of is limited to none. */
const NONE = { maxServerGroups: 0, maxServerGroupMembers: 0, totalServerGroupsUsed: 0 }

export const showComputeLimits: Handler<'showComputeLimits'> = async ({ query, caller, version, services, reply }) => {
  const { limits, used } = await services.compute.limits.show(caller, query.tenant_id)
  const absolute = {
    maxTotalInstances: limits.instances,
    maxTotalCores: limits.cores,
    maxTotalRAMSize: limits.ram,
    totalInstancesUsed: used.instances,
    totalCoresUsed: used.cores,
    totalRAMUsed: used.ram,
    maxServerMeta: MAX_METADATA_ITEMS,
    maxTotalKeypairs: MAX_KEYPAIRS,
    ...NONE,
    ...(version.atLeast(39) ? {} : { maxImageMeta: MAX_METADATA_ITEMS }),
    ...(version.atLeast(57) ? {} : { maxPersonality: 0, maxPersonalitySize: 0 }),
    ...(version.atLeast(36)
      ? {}
      : { maxTotalFloatingIps: 0, totalFloatingIpsUsed: 0, maxSecurityGroups: 0, maxSecurityGroupRules: 0, totalSecurityGroupsUsed: 0 }),
  }
  return reply(200, { limits: { rate: [], absolute } })
}

export const listComputeZones: Handler<'listComputeZones'> = async ({ services, reply }) => {
  const { name, available } = await services.compute.zones.show()
  return reply(200, { availabilityZoneInfo: [{ zoneName: name, zoneState: { available }, hosts: null }] })
}

export const listComputeZonesDetail: Handler<'listComputeZonesDetail'> = async ({ caller, services, reply }) => {
  const { name, available, hosts } = await services.compute.zones.detail(caller)
  const services_ = Object.fromEntries(
    hosts.map((host) => [
      host.id,
      {
        'nova-compute': {
          available: host.up,
          active: true,
          updated_at: new Date(host.heartbeatAt / 1000).toISOString().replace('Z', '000'),
        },
      },
    ]),
  )
  return reply(200, { availabilityZoneInfo: [{ zoneName: name, zoneState: { available }, hosts: services_ }] })
}
