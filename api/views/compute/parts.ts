/** The smaller things of Nova: flavors, attachments, instance actions. */
import type { InstanceAction } from '../../../src/domain/ledger.js'
import type { Flavor } from '../../../src/domain/server.js'
import type { Attachment } from '../../../src/domain/volume.js'
import type { Here, Version } from '../../contract.js'
import { naive, resourceLinks } from './links.js'

export const flavorSummary = (flavor: Flavor, version: Version, here: Here) => ({
  id: flavor.id,
  name: flavor.name,
  links: resourceLinks(here, 'flavors', flavor.id),
  ...(version.atLeast(55) ? { description: flavor.description } : {}),
})

export const flavorView = (flavor: Flavor, version: Version, here: Here) => ({
  ...flavorSummary(flavor, version, here),
  ram: flavor.ramMib,
  vcpus: flavor.vcpus,
  disk: flavor.diskGib,
  swap: flavor.swapMib === 0 ? '' : flavor.swapMib,
  'OS-FLV-EXT-DATA:ephemeral': flavor.ephemeralGib,
  'OS-FLV-DISABLED:disabled': false,
  'os-flavor-access:is_public': flavor.isPublic,
  rxtx_factor: 1,
})

/** The volume's id is the attachment's. */
export const volumeAttachmentView = ({ volumeId, serverId, device }: Attachment) => ({ id: volumeId, volumeId, serverId, device })

export const instanceActionView = (action: InstanceAction, version: Version) => ({
  action: action.action,
  instance_uuid: action.serverId,
  request_id: action.requestId,
  user_id: action.userId,
  project_id: action.projectId,
  start_time: naive(action.startedAt),
  message: action.message,
  ...(version.atLeast(58) ? { updated_at: naive(action.updatedAt) } : {}),
})

/** One event: the run of the action itself. */
export const instanceActionDetail = (action: InstanceAction, version: Version, isAdmin: boolean) => ({
  ...instanceActionView(action, version),
  events: [
    {
      event: `compute_${action.action}`,
      start_time: naive(action.startedAt),
      finish_time: action.finishedAt === null ? null : naive(action.finishedAt),
      result: action.finishedAt === null ? null : action.message === null ? 'Success' : 'Error',
      ...(isAdmin ? { traceback: null } : {}),
    },
  ],
})
