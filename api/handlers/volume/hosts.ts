import { DomainError } from '../../../src/domain/errors.js'
import type { VolumePoolFilter } from '../../../src/services/volume/hosts.js'
import type { Handler, Version } from '../../contract.js'
import { volumePoolView, volumeServiceView } from '../../views/volume/host.js'
import { boolParam } from './wire-values.js'

export const listVolumeServices: Handler<'listVolumeServices'> = async ({ query, caller, version, services, reply }) => {
  const { hosts, zone } = await services.volumeHost.listVolumeHosts(caller, query)
  return reply(200, { services: hosts.map((host) => volumeServiceView(host, zone, version)) })
}

export const listVolumeZones: Handler<'listVolumeZones'> = async ({ services, reply }) => {
  const zones = await services.volumeHost.listVolumeZones()
  return reply(200, { availabilityZoneInfo: zones.map(({ name, available }) => ({ zoneName: name, zoneState: { available } })) })
}

export const listVolumePools: Handler<'listVolumePools'> = async ({ here, query, caller, version, services, reply }) => {
  const pools = await services.volumeHost.listVolumePools(caller, poolFilter(here.search, version))
  return reply(200, { pools: pools.map((pool) => volumePoolView(pool, boolParam(query.detail, 'detail'))) })
}

/** Below 3.28 there are no filters; below 3.31 one that is unknown finds nothing, from there on it is refused, admins included. */
function poolFilter(search: URLSearchParams, version: Version): VolumePoolFilter {
  if (!version.atLeast(28)) return {}
  const asked = [...search].filter(([name]) => name !== 'detail')
  const unknown = asked.map(([name]) => name).filter((name) => !POOL_FILTERS.includes(name))
  if (unknown.length > 0 && version.atLeast(31))
    throw new DomainError('invalid', `Invalid filters ${unknown.join(',')} are found in query options.`)
  return {
    name: search.get('name') ?? undefined,
    volumeType: version.atLeast(35) ? (search.get('volume_type') ?? undefined) : undefined,
    none: unknown.length > 0,
  }
}
const POOL_FILTERS = ['name', 'volume_type']

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
  ['os-volume-transfer', 'VolumeTransfer', 'Handing volumes to other projects.'],
  ['os-volume-type-access', 'VolumeTypeAccess', 'Who may use private types.'],
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
