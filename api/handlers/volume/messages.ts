import type { Message } from '../../../src/domain/ledger.js'
import type { Handler } from '../../contract.js'
import { volumeMessageView } from '../../views/volume/host.js'
import { exact, type ListRules, listOptions, nextLinks } from './list-query.js'

const RULES: ListRules<Message> = {
  sortKeys: {
    created_at: 'createdAt',
    id: 'id',
    event_id: 'eventId',
    resource_type: 'resourceType',
    resource_uuid: 'resourceId',
    request_id: 'requestId',
  },
  filters: {
    event_id: ['eventId', exact, 5],
    request_id: ['requestId', exact, 5],
    resource_type: ['resourceType', (text) => ({ is: text.toUpperCase() }), 5],
    resource_uuid: ['resourceId', exact, 5],
    message_level: ['level', exact, 5],
  },
}

export const listVolumeMessages: Handler<'listVolumeMessages'> = async ({ here, path, caller, version, services, reply }) => {
  const { query } = listOptions(RULES, { here, caller, version })
  const messages = await services.volumeMessage.listMessages(caller, query)
  const links = nextLinks(
    here,
    query,
    messages.map(({ id }) => id),
  )
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
