import { actions, type Handler } from '../../contract.js'

export const listVolumeTypeAccess: Handler<'listVolumeTypeAccess'> = async ({ path, caller, services, reply }) => {
  const all = await services.volumeType.listVolumeTypeAccess(caller, path.volume_type_id)
  return reply(200, {
    volume_type_access: all.map(({ volumeTypeId, projectId }) => ({ volume_type_id: volumeTypeId, project_id: projectId })),
  })
}

export const volumeTypeAction = actions<'volumeTypeAction'>({
  addProjectAccess: async ({ path, input, caller, services, reply }) => {
    await services.volumeType.addVolumeTypeAccess(caller, path.volume_type_id, input.project)
    return reply(202)
  },
  removeProjectAccess: async ({ path, input, caller, services, reply }) => {
    await services.volumeType.removeVolumeTypeAccess(caller, path.volume_type_id, input.project)
    return reply(202)
  },
})

export const listDefaultVolumeTypes: Handler<'listDefaultVolumeTypes'> = async ({ caller, services, reply }) => {
  const all = await services.volumeType.listDefaultVolumeTypes(caller)
  return reply(200, { default_types: all.map(({ id, volumeTypeId }) => ({ project_id: id, volume_type_id: volumeTypeId })) })
}

export const showProjectDefaultVolumeType: Handler<'showProjectDefaultVolumeType'> = async ({ path, caller, services, reply }) => {
  const { id, volumeTypeId } = await services.volumeType.showProjectDefaultType(caller, path.target_id)
  return reply(200, { default_type: { project_id: id, volume_type_id: volumeTypeId } })
}

export const setProjectDefaultVolumeType: Handler<'setProjectDefaultVolumeType'> = async ({ path, body, caller, services, reply }) =>
  services.volumeType.setProjectDefaultType(caller, path.target_id, body.default_type.volume_type, (type) =>
    reply(200, { default_type: { project_id: path.target_id, volume_type_id: type.id } }),
  )

export const clearProjectDefaultVolumeType: Handler<'clearProjectDefaultVolumeType'> = async ({ path, caller, services, reply }) => {
  await services.volumeType.clearProjectDefaultType(caller, path.target_id)
  return reply(204)
}
