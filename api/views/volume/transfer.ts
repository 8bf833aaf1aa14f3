/** Transfers as Cinder shows them: briefly, whole, and once with the key. One that was accepted is not shown any more. */
import type { VolumeTransfer } from '../../../src/domain/volume.js'
import type { Version } from '../../versions.js'
import { type Place, selfLinks, volumeTime } from './common.js'

export const transferBriefView = (transfer: VolumeTransfer, place: Place) => ({
  id: transfer.id,
  volume_id: transfer.volumeId,
  name: transfer.name,
  links: selfLinks(place, `os-volume-transfer/${transfer.id}`),
})

export const transferView = (transfer: VolumeTransfer, place: Place, version: Version) => ({
  ...transferBriefView(transfer, place),
  created_at: volumeTime(transfer.createdAt),
  ...(version.atLeast(55) ? { no_snapshots: transfer.noSnapshots } : {}),
  ...(version.atLeast(57) ? { source_project_id: transfer.projectId, destination_project_id: null, accepted: false } : {}),
})
