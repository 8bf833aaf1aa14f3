/** Servers as Nova shows them, by microversion and by role. */
import { createHash } from 'node:crypto'
import type { Server } from '../../../src/domain/server.js'
import type { ServerRecord } from '../../../src/services/compute/servers.js'
import { statusOf } from '../../../src/services/compute/servers-list.js'
import type { Caller, Here, Version } from '../../contract.js'
import type { operations } from '../../generated/openapi.js'
import { bookmark, naive, resourceLinks, seconds } from './links.js'

type ServerBody = operations['showServer']['responses'][200]['content']['application/json']['server']
type ChangedBody = operations['updateServer']['responses'][200]['content']['application/json']['server']

export interface Viewer {
  readonly caller: Caller
  readonly version: Version
  readonly here: Here
}

/** The word in the body: REBOOT while it reboots, ACTIVE else. */
export const serverSummary = (server: Server, here: Here) => ({
  id: server.id,
  name: server.name,
  links: resourceLinks(here, 'servers', server.id),
})

/** What update answers: less than show. */
export function serverChangedView({ server }: ServerRecord, { caller, version, here }: Viewer): ChangedBody {
  const status = statusOf(server)
  return {
    id: server.id,
    name: server.name,
    status,
    tenant_id: server.projectId,
    user_id: server.userId,
    metadata: { ...server.metadata },
    hostId: createHash('sha224').update(`${server.projectId}${server.hostId}`).digest('hex'),
    image: server.imageId === null ? '' : { id: server.imageId, links: [bookmark(here, 'images', server.imageId)] },
    flavor: flavorOf(server, version, here),
    created: seconds(server.createdAt),
    updated: seconds(server.updatedAt ?? server.createdAt),
    addresses: {},
    accessIPv4: server.accessIpV4,
    accessIPv6: server.accessIpV6,
    links: resourceLinks(here, 'servers', server.id),
    'OS-DCF:diskConfig': diskConfigOf(server),
    ...(status === 'ACTIVE' || status === 'BUILD' ? { progress: 0 } : {}),
    ...(server.fault !== null && status === 'ERROR' ? { fault: faultOf(server.fault, caller) } : {}),
    ...(version.atLeast(9) ? { locked: server.locked } : {}),
    ...(version.atLeast(19) ? { description: server.description } : {}),
    ...(version.atLeast(26) ? { tags: [...server.tags] } : {}),
  }
}

export function serverView(record: ServerRecord, viewer: Viewer): ServerBody {
  const { server, attachments, hostStatus } = record
  const { caller, version } = viewer
  return {
    ...serverChangedView(record, viewer),
    config_drive: '',
    key_name: server.keyName,
    security_groups: [{ name: 'default' }],
    'OS-SRV-USG:launched_at': server.launchedAt === null ? null : naive(server.launchedAt),
    'OS-SRV-USG:terminated_at': server.terminatedAt === null ? null : naive(server.terminatedAt),
    'OS-EXT-AZ:availability_zone': server.availabilityZone,
    'OS-EXT-STS:task_state': server.taskState,
    'OS-EXT-STS:vm_state': server.vmState,
    'OS-EXT-STS:power_state': server.powerState,
    'os-extended-volumes:volumes_attached': attachments.map(({ volumeId, deleteOnTermination }) => ({
      id: volumeId,
      ...(version.atLeast(3) ? { delete_on_termination: deleteOnTermination } : {}),
    })),
    ...(caller.isAdmin ? forAdmins(server, version) : {}),
    ...(hostStatus !== null && version.atLeast(16) ? { host_status: hostStatus } : {}),
  }
}

const forAdmins = (server: Server, version: Version) => ({
  'OS-EXT-SRV-ATTR:host': server.hostId,
  'OS-EXT-SRV-ATTR:instance_name': `instance-${server.seq.toString(16).padStart(8, '0')}`,
  'OS-EXT-SRV-ATTR:hypervisor_hostname': server.hostId,
  ...(version.atLeast(3)
    ? {
        'OS-EXT-SRV-ATTR:reservation_id': server.reservationId,
        'OS-EXT-SRV-ATTR:launch_index': server.launchIndex,
        'OS-EXT-SRV-ATTR:hostname': hostnameOf(server.name),
        'OS-EXT-SRV-ATTR:kernel_id': server.kernelLayerId === null ? '' : (server.imageProperties['kernel_id'] ?? ''),
        'OS-EXT-SRV-ATTR:ramdisk_id': server.ramdiskLayerId === null ? '' : (server.imageProperties['ramdisk_id'] ?? ''),
        'OS-EXT-SRV-ATTR:root_device_name': server.rootDeviceName,
        'OS-EXT-SRV-ATTR:user_data': server.userData,
      }
    : {}),
})

/** The name as a host may bear it. */
function hostnameOf(name: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[\s_]+/g, '-')
    .replace(/[^a-z0-9.-]/g, '')
    .replace(/^[.-]+|[.-]+$/g, '')
  return plain.slice(0, 63)
}

function flavorOf({ flavor }: Server, version: Version, here: Here): ServerBody['flavor'] {
  if (!version.atLeast(47)) return { id: flavor.id, links: [bookmark(here, 'flavors', flavor.id)] }
  return {
    original_name: flavor.name,
    vcpus: flavor.vcpus,
    ram: flavor.ramMib,
    disk: flavor.diskGib,
    ephemeral: flavor.ephemeralGib,
    swap: flavor.swapMib,
    extra_specs: { ...flavor.extraSpecs },
  }
}

export const diskConfigOf = ({ imageProperties }: Pick<Server, 'imageProperties'>): 'AUTO' | 'MANUAL' =>
  ['true', 'yes', '1'].includes((imageProperties['auto_disk_config'] ?? '').toLowerCase()) ? 'AUTO' : 'MANUAL'

/** The details of an internal failure are for admins. */
function faultOf(fault: NonNullable<Server['fault']>, caller: Caller) {
  const { code, message, details } = fault
  const shown = details !== undefined && (caller.isAdmin || code !== 500)
  return { code, created: seconds(fault.createdAt), message, ...(shown ? { details } : {}) }
}
