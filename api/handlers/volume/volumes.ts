import type { Volume } from '../../../src/domain/volume.js'
import type { Context, Handler, OperationId } from '../../contract.js'
import { acceptedVolumeView, type VolumeLens, volumeBriefView, volumeView } from '../../views/volume/volume.js'
import { exact, type ListRules, listOptions, nextLinks, pairs, truth, whole } from './list-query.js'
import { checkedKeys, isTrue, naming, onlyItem } from './wire-values.js'

const RULES: ListRules<Volume> = {
  sortKeys: {
    created_at: 'createdAt',
    updated_at: 'updatedAt',
    id: 'id',
    name: 'name',
    display_name: 'name',
    status: 'status',
    size: 'sizeGib',
    bootable: 'bootable',
    availability_zone: 'availabilityZone',
    volume_type_id: 'volumeTypeId',
    project_id: 'projectId',
    user_id: 'userId',
  },
  filters: {
    name: ['name', exact, 0],
    display_name: ['name', exact],
    status: ['status', exact, 0],
    metadata: ['metadata', pairs, 0],
    availability_zone: ['availabilityZone', exact, 0],
    bootable: ['bootable', truth, 0],
    size: ['sizeGib', whole, 31],
    id: ['id', exact],
    snapshot_id: ['snapshotId', exact],
    source_volid: ['sourceVolumeId', exact],
    volume_type_id: ['volumeTypeId', exact],
    project_id: ['projectId', exact],
    user_id: ['userId', exact],
  },
}

export const volumeLens = <K extends OperationId>({ version, caller, here, path }: Context<K>): VolumeLens => ({
  version,
  isAdmin: caller.isAdmin,
  place: { service: here.service, project: (path as { project_id?: string }).project_id },
})

export const listVolumes: Handler<'listVolumes'> = async (context) => {
  const options = listOptions(RULES, context)
  const { records, count } = await context.services.volume.listVolumes(context.caller, options)
  const lens = volumeLens(context)
  return context.reply(200, {
    volumes: records.map((record) => volumeBriefView(record, lens)),
    ...page(context, options.query, records, count),
  })
}

export const listVolumesDetail: Handler<'listVolumesDetail'> = async (context) => {
  const options = listOptions(RULES, context)
  const { records, count } = await context.services.volume.listVolumes(context.caller, options)
  const lens = volumeLens(context)
  return context.reply(200, { volumes: records.map((record) => volumeView(record, lens)), ...page(context, options.query, records, count) })
}

function page(
  { here }: Pick<Context<'listVolumes'>, 'here'>,
  query: { limit?: number },
  records: readonly { volume: Volume }[],
  count: number | undefined,
) {
  const links = nextLinks(
    here,
    query,
    records.map(({ volume }) => volume.id),
  )
  return { ...(links === undefined ? {} : { volumes_links: links }), ...(count === undefined ? {} : { count }) }
}

export const summarizeVolumes: Handler<'summarizeVolumes'> = async ({ caller, version, here, services, reply }) => {
  const { query, allTenants } = listOptions(RULES, { here, caller, version })
  const { limit: _limit, offset: _offset, ...all } = query
  const { count, sizeGib, metadata } = await services.volume.summarizeVolumes(caller, { query: all, allTenants })
  return reply(200, { 'volume-summary': { total_count: count, total_size: sizeGib, ...(version.atLeast(36) ? { metadata } : {}) } })
}

export const createVolume: Handler<'createVolume'> = async (context) => {
  const { body, caller, version, services, reply } = context
  const { volume } = body
  const named = naming(volume)
  const request = {
    name: named.name ?? null,
    description: named.description ?? null,
    sizeGib: volume.size == null ? null : Number(volume.size),
    metadata: checkedKeys(volume.metadata ?? {}),
    volumeType: volume.volume_type ?? null,
    availabilityZone: volume.availability_zone ?? null,
    imageRef: volume.imageRef ?? volume.image_id ?? null,
    snapshotId: volume.snapshot_id ?? null,
    sourceVolumeId: volume.source_volid ?? null,
    unsupported: unsupported(volume, version.minor),
    followsImageSnapshots: version.atLeast(46),
  }
  return services.volume.createVolume(caller, request, (record) => reply(202, { volume: acceptedVolumeView(record, volumeLens(context)) }))
}

/** Sources and memberships of services that are not here: named, they are as unknown as any other id. */
function unsupported(volume: Record<string, unknown>, minor: number): { what: string; id: string } | null {
  const named = [
    ['Group', volume['consistencygroup_id']],
    ['Group', minor >= 13 ? volume['group_id'] : null],
    ['Backup', minor >= 47 ? volume['backup_id'] : null],
  ] as const
  for (const [what, id] of named) if (typeof id === 'string') return { what, id }
  return null
}

export const showVolume: Handler<'showVolume'> = async (context) =>
  context.reply(200, {
    volume: volumeView(await context.services.volume.showVolume(context.caller, context.path.volume_id), volumeLens(context)),
  })

export const updateVolume: Handler<'updateVolume'> = async (context) => {
  const { metadata } = context.body.volume
  const patch = { ...naming(context.body.volume), ...(metadata == null ? {} : { metadata: checkedKeys(metadata) }) }
  return context.services.volume.updateVolume(context.caller, context.path.volume_id, patch, (record) =>
    context.reply(200, { volume: acceptedVolumeView(record, volumeLens(context)) }),
  )
}

export const deleteVolume: Handler<'deleteVolume'> = async ({ path, query, caller, version, services, reply }) => {
  const force = version.atLeast(23) && isTrue(query.force)
  await services.volume.deleteVolume(caller, path.volume_id, { force, cascade: isTrue(query.cascade) })
  return reply(202)
}

export const showVolumeMetadata: Handler<'showVolumeMetadata'> = async ({ path, caller, services, reply }) =>
  reply(200, { metadata: await services.volume.showVolumeMetadata(caller, path.volume_id) })

export const mergeVolumeMetadata: Handler<'mergeVolumeMetadata'> = async ({ path, body, caller, services, reply }) =>
  services.volume.setVolumeMetadata(caller, path.volume_id, checkedKeys(body.metadata), true, (metadata) => reply(200, { metadata }))

export const replaceVolumeMetadata: Handler<'replaceVolumeMetadata'> = async ({ path, body, caller, services, reply }) =>
  services.volume.setVolumeMetadata(caller, path.volume_id, checkedKeys(body.metadata), false, (metadata) => reply(200, { metadata }))

export const showVolumeMetadataItem: Handler<'showVolumeMetadataItem'> = async ({ path, caller, services, reply }) =>
  reply(200, { meta: { [path.key]: await services.volume.showVolumeMetadataItem(caller, path.volume_id, path.key) } })

export const setVolumeMetadataItem: Handler<'setVolumeMetadataItem'> = async ({ path, body, caller, services, reply }) => {
  const item = onlyItem(body.meta, path.key)
  return services.volume.setVolumeMetadata(caller, path.volume_id, item, true, () => reply(200, { meta: item }))
}

export const deleteVolumeMetadataItem: Handler<'deleteVolumeMetadataItem'> = async ({ path, caller, services, reply }) => {
  await services.volume.deleteVolumeMetadataItem(caller, path.volume_id, path.key)
  return reply(200)
}
