import { DomainError } from '../../../src/domain/errors.js'
import type { Handler } from '../../contract.js'
import { changedVolumeTypeView, volumeTypeView } from '../../views/volume/type.js'
import { listOptions, nextLinks } from './list-query.js'
import { typeRules } from './list-rules.js'
import { checkedKeys, isTrue, onlyItem, truthOf } from './wire-values.js'

export const listVolumeTypes: Handler<'listVolumeTypes'> = async ({ here, query: asked, caller, version, services, reply }) => {
  const search = new URLSearchParams(here.search)
  search.delete('is_public')
  const { query } = listOptions(typeRules, { here: { ...here, search }, caller, version })
  const types = await services.volumeType.listVolumeTypes(caller, { query, isPublic: caller.isAdmin ? visibility(asked.is_public) : true })
  const links = nextLinks(
    here,
    query,
    types.map(({ id }) => id),
  )
  return reply(200, { volume_types: types.map(volumeTypeView), ...(links === undefined ? {} : { volume_type_links: links }) })
}

/** For admins: public ones unless they ask for others; `None` asks for all. */
function visibility(text: string | undefined): boolean | undefined {
  if (text === undefined) return true
  if (text.toLowerCase() === 'none') return undefined
  const said = truthOf(text)
  if (said === undefined) throw new DomainError('invalid', `Invalid is_public filter [${text.slice(0, 255)}]`)
  return said
}

export const createVolumeType: Handler<'createVolumeType'> = async ({ body, caller, services, reply }) => {
  const type = body.volume_type
  const request = {
    name: type.name,
    description: type.description ?? null,
    isPublic: type['os-volume-type-access:is_public'] === undefined || isTrue(type['os-volume-type-access:is_public']),
    extraSpecs: checkedKeys(type.extra_specs ?? {}, 'extra_specs'),
  }
  return services.volumeType.createVolumeType(caller, request, (created) => reply(200, { volume_type: volumeTypeView(created) }))
}

export const showDefaultVolumeType: Handler<'showDefaultVolumeType'> = async ({ caller, services, reply }) =>
  reply(200, { volume_type: volumeTypeView(await services.volumeType.showDefaultVolumeType(caller)) })

export const showVolumeType: Handler<'showVolumeType'> = async ({ path, caller, services, reply }) =>
  reply(200, { volume_type: volumeTypeView(await services.volumeType.showVolumeType(caller, path.volume_type_id)) })

export const updateVolumeType: Handler<'updateVolumeType'> = async ({ path, body, caller, services, reply }) => {
  const { name, description, is_public } = body.volume_type
  const patch = {
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    ...(is_public === undefined ? {} : { isPublic: isTrue(is_public) }),
  }
  return services.volumeType.updateVolumeType(caller, path.volume_type_id, patch, (type) =>
    reply(200, { volume_type: changedVolumeTypeView(type) }),
  )
}

export const deleteVolumeType: Handler<'deleteVolumeType'> = async ({ path, caller, services, reply }) => {
  await services.volumeType.deleteVolumeType(caller, path.volume_type_id)
  return reply(202)
}

export const listVolumeTypeExtraSpecs: Handler<'listVolumeTypeExtraSpecs'> = async ({ path, caller, services, reply }) =>
  reply(200, { extra_specs: await services.volumeType.listExtraSpecs(caller, path.volume_type_id) })

export const createVolumeTypeExtraSpecs: Handler<'createVolumeTypeExtraSpecs'> = async ({ path, body, caller, services, reply }) => {
  const specs = checkedKeys(body.extra_specs, 'extra_specs')
  return services.volumeType.setExtraSpecs(caller, path.volume_type_id, specs, () => reply(200, { extra_specs: specs }))
}

export const showVolumeTypeExtraSpec: Handler<'showVolumeTypeExtraSpec'> = async ({ path, caller, services, reply }) =>
  reply(200, { [path.key]: await services.volumeType.showExtraSpec(caller, path.volume_type_id, path.key) })

export const updateVolumeTypeExtraSpec: Handler<'updateVolumeTypeExtraSpec'> = async ({ path, body, caller, services, reply }) => {
  const spec = onlyItem(body, path.key)
  return services.volumeType.setExtraSpecs(caller, path.volume_type_id, spec, () => reply(200, spec))
}

export const deleteVolumeTypeExtraSpec: Handler<'deleteVolumeTypeExtraSpec'> = async ({ path, caller, services, reply }) => {
  await services.volumeType.deleteExtraSpec(caller, path.volume_type_id, path.key)
  return reply(202)
}
