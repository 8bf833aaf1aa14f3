import type { Handler } from '../../contract.js'
import { volumePoolView, volumeServiceView } from '../../views/volume/host.js'
import { isTrue } from './wire-values.js'

export const listVolumeServices: Handler<'listVolumeServices'> = async ({ query, caller, services, reply }) => {
  const { hosts, zone } = await services.volumeHost.listVolumeHosts(caller, query)
  return reply(200, { services: hosts.map((host) => volumeServiceView(host, zone)) })
}

export const listVolumeZones: Handler<'listVolumeZones'> = async ({ services, reply }) => {
  const zones = await services.volumeHost.listVolumeZones()
  return reply(200, { availabilityZoneInfo: zones.map(({ name, available }) => ({ zoneName: name, zoneState: { available } })) })
}

export const listVolumePools: Handler<'listVolumePools'> = async ({ query, caller, services, reply }) => {
  const pools = await services.volumeHost.listVolumePools(caller)
  return reply(200, { pools: pools.map((pool) => volumePoolView(pool, isTrue(query.detail))) })
}

/** Only what is served; alias, name, description. */
const EXTENSIONS = [
  ['os-admin-actions', 'AdminActions', 'Resetting states, forced deletion and detachment.'],
  ['os-availability-zone', 'AvailabilityZones', 'Describes availability zones.'],
  ['os-extended-snapshot-attributes', 'ExtendedSnapshotAttributes', 'Progress and project of snapshots.'],
  ['os-quota-class-sets', 'QuotaClasses', 'Quotas of classes.'],
  ['os-quota-sets', 'Quotas', 'Quotas of projects.'],
  ['os-services', 'Services', 'The hosts that serve volumes.'],
  ['os-snapshot-actions', 'SnapshotActions', 'Snapshot states told by the compute service.'],
  ['os-types-extra-specs', 'TypesExtraSpecs', 'Extra specs of volume types.'],
  ['os-types-manage', 'TypesManage', 'Creating and deleting volume types.'],
  ['os-used-limits', 'UsedLimits', 'What is used of the limits.'],
  ['os-vol-host-attr', 'VolumeHostAttribute', 'The host of a volume.'],
  ['os-vol-image-meta', 'VolumeImageMetadata', 'What the image of a volume said.'],
  ['os-vol-mig-status-attr', 'VolumeMigStatusAttribute', 'The migration status of a volume.'],
  ['os-vol-tenant-attr', 'VolumeTenantAttribute', 'The project of a volume.'],
  ['os-volume-actions', 'VolumeActions', 'Extending, attaching, uploading and more.'],
  ['scheduler-stats', 'Scheduler_stats', 'The pools volumes are put in.'],
] as const

export const listVolumeExtensions: Handler<'listVolumeExtensions'> = async ({ reply }) =>
  reply(200, {
    extensions: EXTENSIONS.map(([alias, name, description]) => ({
      alias,
      name,
      description,
      updated: '2026-11-01T00:00:00+00:00',
      links: [],
    })),
  })
