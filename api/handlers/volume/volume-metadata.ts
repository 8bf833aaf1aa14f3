/**
 * A volume's metadata, all and one by one. From 3.15 an ETag stands for all of them, and a PUT that brings one with
 * If-Match is refused with 412 once they have changed: looked at in the transaction that would change them.
 */
import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { Metadata } from '../../../src/domain/metadata.js'
import type { Handler, Version } from '../../contract.js'
import { checkedKeys, onlyItem } from './wire-values.js'

const etagOf = (metadata: Metadata): string => createHash('md5').update(JSON.stringify({ metadata })).digest('hex')

function matching(headers: IncomingHttpHeaders, version: Version): ((metadata: Metadata) => boolean) | undefined {
  const wanted = version.atLeast(15) ? headers['if-match'] : undefined
  if (wanted === undefined || wanted.trim() === '*') return undefined
  const tags = wanted.split(',').map((tag) => tag.trim().replace(/^"(.*)"$/, '$1'))
  return (metadata) => tags.includes(etagOf(metadata))
}

export const showVolumeMetadata: Handler<'showVolumeMetadata'> = async ({ path, caller, version, services, reply }) => {
  const metadata = await services.volume.showVolumeMetadata(caller, path.volume_id)
  return version.atLeast(15) ? reply(200, { metadata }, { etag: etagOf(metadata) }) : reply(200, { metadata })
}

export const mergeVolumeMetadata: Handler<'mergeVolumeMetadata'> = async ({ path, body, caller, services, reply }) =>
  services.volume.setVolumeMetadata(caller, path.volume_id, { metadata: checkedKeys(body.metadata), merge: true }, (metadata) =>
    reply(200, { metadata: metadata ?? {} }),
  )

export const replaceVolumeMetadata: Handler<'replaceVolumeMetadata'> = async (context) => {
  const { path, body, headers, caller, version, services, reply } = context
  const change = { metadata: checkedKeys(body.metadata), merge: false, expected: matching(headers, version) }
  return services.volume.setVolumeMetadata(caller, path.volume_id, change, (metadata) =>
    metadata === undefined ? reply(412) : reply(200, { metadata }),
  )
}

export const showVolumeMetadataItem: Handler<'showVolumeMetadataItem'> = async ({ path, caller, services, reply }) =>
  reply(200, { meta: { [path.key]: await services.volume.showVolumeMetadataItem(caller, path.volume_id, path.key) } })

export const setVolumeMetadataItem: Handler<'setVolumeMetadataItem'> = async (context) => {
  const { path, body, headers, caller, version, services, reply } = context
  const item = onlyItem(body.meta, path.key)
  const change = { metadata: item, merge: true, expected: matching(headers, version) }
  return services.volume.setVolumeMetadata(caller, path.volume_id, change, (metadata) =>
    metadata === undefined ? reply(412) : reply(200, { meta: item }),
  )
}

export const deleteVolumeMetadataItem: Handler<'deleteVolumeMetadataItem'> = async ({ path, caller, services, reply }) => {
  await services.volume.deleteVolumeMetadataItem(caller, path.volume_id, path.key)
  return reply(200)
}
