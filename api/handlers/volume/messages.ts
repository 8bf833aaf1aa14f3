import type { Handler } from '../../contract.js'
import { volumeMessageView } from '../../views/volume/host.js'
import { listOptions, nextLinks } from './list-query.js'
import { messageRules } from './list-rules.js'

export const listVolumeMessages: Handler<'listVolumeMessages'> = async ({ here, path, caller, version, services, reply }) => {
  // Before 3.5 the list is all there is: nothing asked of it is looked at.
  const asked = version.atLeast(5) ? here : { ...here, search: new URLSearchParams() }
  const { query } = listOptions(messageRules, { here: asked, caller, version })
  const messages = await services.volumeMessage.listMessages(caller, query)
  const ids = messages.map(({ id }) => id)
  const links = version.atLeast(5) ? nextLinks(here, query, ids) : undefined
  const place = { service: here.service, project: path.project_id }
  return reply(200, {
    messages: messages.map((message) => volumeMessageView(message, place)),
    ...(links === undefined ? {} : { messages_links: links }),
  })
}

export const showVolumeMessage: Handler<'showVolumeMessage'> = async ({ here, path, caller, services, reply }) => {
  const message = await services.volumeMessage.showMessage(caller, path.message_id)
  return reply(200, { message: volumeMessageView(message, { service: here.service, project: path.project_id }) })
}

export const deleteVolumeMessage: Handler<'deleteVolumeMessage'> = async ({ path, caller, services, reply }) => {
  await services.volumeMessage.deleteMessage(caller, path.message_id)
  return reply(204)
}
