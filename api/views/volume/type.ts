/** Volume types as Cinder shows them: listed, after a change, and as the row an upload carries. */
import type { VolumeType } from '../../../src/domain/volume.js'
import { volumeTime } from './common.js'

export const changedVolumeTypeView = (type: VolumeType) => ({
  id: type.id,
  name: type.name,
  is_public: type.isPublic,
  description: type.description,
  extra_specs: type.extraSpecs,
})

export const volumeTypeView = (type: VolumeType) => ({
  ...changedVolumeTypeView(type),
  'os-volume-type-access:is_public': type.isPublic,
})

export const volumeTypeRowView = (type: VolumeType) => ({
  ...changedVolumeTypeView(type),
  qos_specs_id: null,
  created_at: volumeTime(type.createdAt),
  updated_at: null,
  deleted_at: null,
  deleted: false,
  projects: [],
})
