import { DomainError } from '../../../src/domain/errors.js'
import type { Volume } from '../../../src/domain/volume.js'
import type { Context, Handler, OperationId } from '../../contract.js'
import { acceptedVolumeView, type VolumeLens, volumeBriefView, volumeView } from '../../views/volume/volume.js'
import { listOptions, nextLinks } from './list-query.js'
import { volumeRules } from './list-rules.js'
import { boolParam, checkedKeys, isTrue, naming } from './wire-values.js'

export const volumeLens = <K extends OperationId>({ version, caller, here, path }: Context<K>): VolumeLens => ({
  version,
  isAdmin: caller.isAdmin,
  place: { service: here.service, project: (path as { project_id?: string }).project_id },
})

export const listVolumes: Handler<'listVolumes'> = async (context) => {
  const options = listOptions(volumeRules, context)
  const { records, count } = await context.services.volume.listVolumes(context.caller, options)
  const lens = volumeLens(context)
  return context.reply(200, {
    volumes: records.map((record) => volumeBriefView(record, lens)),
    ...page(context, options.query, records, count),
  })
}

export const listVolumesDetail: Handler<'listVolumesDetail'> = async (context) => {
  const options = listOptions(volumeRules, context)
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
  const { query, allTenants } = listOptions({ ...volumeRules, strictSince: Number.POSITIVE_INFINITY }, { here, caller, version })
  const { limit: _limit, offset: _offset, ...all } = query
  const { count, sizeGib, metadata } = await services.volume.summarizeVolumes(caller, { query: all, allTenants })
  return reply(200, { 'volume-summary': { total_count: count, total_size: sizeGib, ...(version.atLeast(36) ? { metadata } : {}) } })
}

export const createVolume: Handler<'createVolume'> = async (context) => {
  const { body, caller, version, services, reply } = context
  const { volume } = body
  if (isTrue(volume.multiattach))
    throw new DomainError(
      'invalid',
      'Invalid input received: A volume is attached to one server at a time here: multiattach is not served.',
    )
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
  const force = version.atLeast(23) && boolParam(query.force, 'force')
  await services.volume.deleteVolume(caller, path.volume_id, { force, cascade: boolParam(query.cascade, 'cascade') })
  return reply(202)
}
