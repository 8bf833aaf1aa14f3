/** Hosts, pools and messages as Cinder shows them. */
import type { Host } from '../../../src/domain/host.js'
import type { Message } from '../../../src/domain/ledger.js'
import { locationOf } from '../../../src/services/volume/access.js'
import type { VolumeBackend } from '../../../src/services/volume/hosts.js'
import type { Version } from '../../versions.js'
import { type Place, selfLinks, volumeTime } from './common.js'

export const volumeServiceView = (host: Host, zone: string, version: Version) => ({
  binary: 'cinder-volume',
  host: `${host.id}@strata`,
  zone,
  status: 'enabled' as const,
  state: host.state,
  updated_at: volumeTime(host.heartbeatAt),
  disabled_reason: null,
  ...(version.atLeast(7) ? { cluster: null } : {}),
  ...(version.atLeast(49) ? { backend_state: host.state } : {}),
})

/** Capacity is the file system's affair and not known here; Cinder's word for that is `unknown`. */
export const volumePoolView = ({ host, pool }: VolumeBackend, detail: boolean) => ({
  name: locationOf(host.id, pool.name),
  ...(detail
    ? {
        capabilities: {
          volume_backend_name: 'strata',
          vendor_name: 'Open Source',
          driver_version: '1.0.0',
          storage_protocol: 'file',
          total_capacity_gb: 'unknown',
          free_capacity_gb: 'unknown',
          reserved_percentage: 0,
          QoS_support: false,
          timestamp: volumeTime(host.heartbeatAt),
        },
      }
    : {}),
})

export const volumeMessageView = (message: Message, place: Place) => ({
  id: message.id,
  event_id: message.eventId,
  user_message: message.userMessage,
  message_level: message.level,
  created_at: volumeTime(message.createdAt),
  guaranteed_until: volumeTime(message.expiresAt),
  request_id: message.requestId,
  resource_type: message.resourceType.toUpperCase(),
  resource_uuid: message.resourceId,
  links: selfLinks(place, `messages/${message.id}`),
})
