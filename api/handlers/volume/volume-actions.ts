import { VOLUME_STATUSES } from '../../../src/domain/volume.js'
import { actions } from '../../contract.js'
import { uploadView } from '../../views/volume/volume.js'
import { checkedKeys, isTrue, statusWord } from './wire-values.js'

export const volumeAction = actions<'volumeAction'>({
  'os-extend': async ({ path, input, caller, version, services, reply }) => {
    await services.volume.extendVolume(caller, path.volume_id, Number(input.new_size), version.atLeast(42))
    return reply(202)
  },
  // The attach and migration statuses follow from the attachments there are: they cannot be declared.
  'os-reset_status': async ({ path, input, caller, services, reply }) => {
    const status = input.status == null ? null : statusWord(input.status, VOLUME_STATUSES, 'Volume')
    await services.volume.resetVolumeStatus(caller, path.volume_id, status)
    return reply(202)
  },
  'os-force_delete': async ({ path, caller, services, reply }) => {
    await services.volume.deleteVolume(caller, path.volume_id, { force: true, cascade: false })
    return reply(202)
  },
  'os-set_bootable': async ({ path, input, caller, services, reply }) => {
    await services.volume.setVolumeBootable(caller, path.volume_id, isTrue(input.bootable))
    return reply(200)
  },
  'os-update_readonly_flag': async ({ path, input, caller, services, reply }) => {
    await services.volume.setVolumeReadonly(caller, path.volume_id, isTrue(input.readonly))
    return reply(202)
  },
  'os-retype': async ({ path, input, caller, services, reply }) => {
    await services.volume.retypeVolume(caller, path.volume_id, input.new_type)
    return reply(202)
  },
  'os-set_image_metadata': async ({ path, input, caller, services, reply }) =>
    services.volume.setVolumeImageMetadata(caller, path.volume_id, checkedKeys(input.metadata), (metadata) => reply(200, { metadata })),
  'os-unset_image_metadata': async ({ path, input, caller, services, reply }) => {
    await services.volume.unsetVolumeImageMetadata(caller, path.volume_id, input.key)
    return reply(200)
  },
  'os-show_image_metadata': async ({ path, caller, services, reply }) =>
    reply(200, { metadata: await services.volume.showVolumeImageMetadata(caller, path.volume_id) }),
  'os-reserve': async ({ path, caller, services, reply }) => {
    await services.volume.reserveVolume(caller, path.volume_id)
    return reply(202)
  },
  'os-unreserve': async ({ path, caller, services, reply }) => {
    await services.volume.unreserveVolume(caller, path.volume_id)
    return reply(202)
  },
  'os-attach': async ({ path, input, caller, services, reply }) => {
    await services.volume.attachVolume(caller, path.volume_id, { serverId: input.instance_uuid, device: input.mountpoint })
    return reply(202)
  },
  'os-detach': async ({ path, input, caller, services, reply }) => {
    await services.volume.detachVolume(caller, path.volume_id, input?.attachment_id ?? null)
    return reply(202)
  },
  'os-force_detach': async ({ path, input, caller, services, reply }) => {
    await services.volume.forceDetachVolume(caller, path.volume_id, input.attachment_id ?? null)
    return reply(202)
  },
  'os-begin_detaching': async ({ path, caller, services, reply }) => {
    await services.volume.beginDetachingVolume(caller, path.volume_id)
    return reply(202)
  },
  'os-roll_detaching': async ({ path, caller, services, reply }) => {
    await services.volume.rollDetachingVolume(caller, path.volume_id)
    return reply(202)
  },
  revert: async ({ path, input, caller, services, reply }) => {
    await services.volume.revertVolume(caller, path.volume_id, input.snapshot_id ?? null)
    return reply(202)
  },
  'os-volume_upload_image': async ({ path, input, caller, version, services, reply }) => {
    const upload = {
      imageName: input.image_name,
      containerFormat: input.container_format ?? 'bare',
      diskFormat: input.disk_format ?? 'raw',
      visibility: input.visibility ?? 'private',
      protected: isTrue(input.protected),
      force: isTrue(input.force),
    }
    return services.volume.uploadVolume(caller, path.volume_id, upload, (record, image) =>
      reply(202, { 'os-volume_upload_image': uploadView(record, image.id, upload, version) }),
    )
  },
})
