import { DomainError } from '../../../src/domain/errors.js'
import type { Metadata } from '../../../src/domain/metadata.js'
import type { Handler } from '../../contract.js'
import { requireMetadataKeys } from './wire.js'

export const showServerMetadata: Handler<'showServerMetadata'> = async ({ path, caller, services, reply }) => {
  const { server } = await services.compute.servers.show(caller, path.server_id)
  return reply(200, { metadata: { ...server.metadata } })
}

export const mergeServerMetadata: Handler<'mergeServerMetadata'> = async ({ path, body, caller, services, reply }) =>
  services.compute.servers.mergeMetadata(caller, path.server_id, requireMetadataKeys(body.metadata), (all) =>
    reply(200, { metadata: { ...all } }),
  )

export const replaceServerMetadata: Handler<'replaceServerMetadata'> = async ({ path, body, caller, services, reply }) =>
  services.compute.servers.replaceMetadata(caller, path.server_id, requireMetadataKeys(body.metadata), (all) =>
    reply(200, { metadata: { ...all } }),
  )

export const showServerMetadataItem: Handler<'showServerMetadataItem'> = async ({ path, caller, services, reply }) => {
  const { server } = await services.compute.servers.show(caller, path.server_id)
  return reply(200, { meta: item(server.metadata, path.key) })
}

export const setServerMetadataItem: Handler<'setServerMetadataItem'> = async ({ path, body, caller, services, reply }) => {
  const meta = requireMetadataKeys(body.meta, 'meta')
  if (!Object.hasOwn(meta, path.key)) throw new DomainError('invalid', 'Request body and URI mismatch')
  return services.compute.servers.setMetadataItem(caller, path.server_id, meta, () => reply(200, { meta: { ...meta } }))
}

export const deleteServerMetadataItem: Handler<'deleteServerMetadataItem'> = async ({ path, caller, services, reply }) =>
  services.compute.servers.deleteMetadataItem(caller, path.server_id, path.key, () => reply(204))

function item(metadata: Metadata, key: string): Record<string, string> {
  const value = Object.hasOwn(metadata, key) ? metadata[key] : undefined
  if (value === undefined) throw new DomainError('notFound', 'Metadata item was not found')
  return { [key]: value }
}
