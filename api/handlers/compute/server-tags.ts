import type { Handler } from '../../contract.js'

export const listServerTags: Handler<'listServerTags'> = async ({ path, caller, services, reply }) => {
  const { server } = await services.compute.servers.show(caller, path.server_id)
  return reply(200, { tags: [...server.tags] })
}

export const replaceServerTags: Handler<'replaceServerTags'> = async ({ path, body, caller, services, reply }) =>
  services.compute.tags.replace(caller, path.server_id, body.tags, (tags) => reply(200, { tags: [...tags] }))

export const deleteServerTags: Handler<'deleteServerTags'> = async ({ path, caller, services, reply }) =>
  services.compute.tags.removeAll(caller, path.server_id, () => reply(204))

export const checkServerTag: Handler<'checkServerTag'> = async ({ path, caller, services, reply }) => {
  await services.compute.tags.has(caller, path.server_id, path.tag)
  return reply(204)
}

export const addServerTag: Handler<'addServerTag'> = async ({ path, caller, here, services, reply }) =>
  services.compute.tags.add(caller, path.server_id, path.tag, (added) =>
    added
      ? reply(201, undefined, { location: `${here.service}/v2.1/servers/${path.server_id}/tags/${encodeURIComponent(path.tag)}` })
      : reply(204),
  )

export const deleteServerTag: Handler<'deleteServerTag'> = async ({ path, caller, services, reply }) =>
  services.compute.tags.remove(caller, path.server_id, path.tag, () => reply(204))
