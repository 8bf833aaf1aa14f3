import type { Handler } from '../../contract.js'
import { nextLink } from '../../views/compute/links.js'
import { instanceActionDetail, instanceActionView, volumeAttachmentView } from '../../views/compute/parts.js'
import { limitOf, momentOf } from './wire.js'

export const listServerAddresses: Handler<'listServerAddresses'> = async ({ path, caller, services, reply }) => {
  await services.compute.servers.show(caller, path.server_id)
  return reply(200, { addresses: {} })
}

export const listServerVolumes: Handler<'listServerVolumes'> = async ({ path, query, caller, services, reply }) => {
  const page = { limit: limitOf(query.limit), offset: Number(query.offset ?? 0) }
  const attachments = await services.compute.attachments.list(caller, path.server_id, page)
  return reply(200, { volumeAttachments: attachments.map(volumeAttachmentView) })
}

/** The device name asked for is not looked at: the guest's bus names it. */
export const attachServerVolume: Handler<'attachServerVolume'> = async ({ path, body, caller, services, reply }) => {
  const { volumeId, tag } = body.volumeAttachment
  return services.compute.attachments.attach(
    caller,
    path.server_id,
    { volumeId, tag: tag ?? null, deleteOnTermination: false },
    (attachment) => reply(200, { volumeAttachment: volumeAttachmentView(attachment) }),
  )
}

export const showServerVolume: Handler<'showServerVolume'> = async ({ path, caller, services, reply }) =>
  reply(200, { volumeAttachment: volumeAttachmentView(await services.compute.attachments.show(caller, path.server_id, path.volume_id)) })

export const detachServerVolume: Handler<'detachServerVolume'> = async ({ path, caller, services, reply }) =>
  services.compute.attachments.detach(caller, path.server_id, path.volume_id, () => reply(202))

export const listInstanceActions: Handler<'listInstanceActions'> = async ({ path, query, caller, version, here, services, reply }) => {
  const paged = version.atLeast(58)
  const limit = paged ? limitOf(query.limit) : undefined
  const actions = await services.compute.instanceActions.list(caller, path.server_id, {
    deletedToo: version.atLeast(21),
    ...(limit === undefined ? {} : { limit }),
    ...(paged && query.marker !== undefined ? { marker: query.marker } : {}),
    ...(paged && query['changes-since'] !== undefined ? { changesSince: momentOf(query['changes-since'], 'changes-since') } : {}),
  })
  const pages = actions.map((action) => ({ id: action.requestId }))
  const links = limit === undefined ? undefined : nextLink(here, pages, limit)
  return reply(200, {
    instanceActions: actions.map((action) => instanceActionView(action, version)),
    ...(links === undefined ? {} : { links }),
  })
}

export const showInstanceAction: Handler<'showInstanceAction'> = async ({ path, caller, version, services, reply }) => {
  const action = await services.compute.instanceActions.show(caller, path.server_id, path.request_id, { deletedToo: version.atLeast(21) })
  const { events, ...summary } = instanceActionDetail(action, version, caller.isAdmin)
  // Before 2.51 events are for admins.
  return reply(200, { instanceAction: caller.isAdmin || version.atLeast(51) ? { ...summary, events } : summary })
}
