import { DomainError } from '../../../src/domain/errors.js'
import type { FlavorList, FlavorSortKey } from '../../../src/services/compute/flavors.js'
import type { Handler, Here } from '../../contract.js'
import { pythonRepr } from '../../faults/schema-words.js'
import { nextLink } from '../../views/compute/links.js'
import { flavorSummary, flavorView } from '../../views/compute/parts.js'
import { flagOf, limitOf, queryFlag } from './wire.js'

export const listFlavors: Handler<'listFlavors'> = async ({ here, caller, version, services, reply }) => {
  const query = listOf(here)
  const flavors = await services.compute.flavors.list(caller, query)
  const links = nextLink(here, flavors, query.limit)
  return reply(200, {
    flavors: flavors.map((flavor) => flavorSummary(flavor, version, here)),
    ...(links === undefined ? {} : { flavors_links: links }),
  })
}

export const listFlavorsDetail: Handler<'listFlavorsDetail'> = async ({ here, caller, version, services, reply }) => {
  const query = listOf(here)
  const flavors = await services.compute.flavors.list(caller, query)
  const links = nextLink(here, flavors, query.limit)
  return reply(200, {
    flavors: flavors.map((flavor) => flavorView(flavor, version, here)),
    ...(links === undefined ? {} : { flavors_links: links }),
  })
}

export const showFlavor: Handler<'showFlavor'> = async ({ path, here, caller, version, services, reply }) =>
  reply(200, { flavor: flavorView(await services.compute.flavors.show(caller, path.flavor_id), version, here) })

export const createFlavor: Handler<'createFlavor'> = async ({ body, here, caller, version, services, reply }) => {
  const { id, name, ram, vcpus, disk, description } = body.flavor
  const wanted = {
    ...(id == null || id === 'auto' ? {} : { id }),
    name,
    ramMib: Number(ram),
    vcpus: Number(vcpus),
    diskGib: Number(disk),
    isPublic: flagOf(body.flavor['os-flavor-access:is_public'] ?? true),
    description: description ?? null,
  }
  return services.compute.flavors.create(caller, wanted, (flavor) => reply(200, { flavor: flavorView(flavor, version, here) }))
}

export const updateFlavor: Handler<'updateFlavor'> = async ({ path, body, here, caller, version, services, reply }) =>
  services.compute.flavors.describe(caller, path.flavor_id, body.flavor.description ?? null, (flavor) =>
    reply(200, { flavor: flavorView(flavor, version, here) }),
  )

export const deleteFlavor: Handler<'deleteFlavor'> = async ({ path, caller, services, reply }) => {
  await services.compute.flavors.remove(caller, path.flavor_id)
  return reply(202)
}

export const listFlavorExtraSpecs: Handler<'listFlavorExtraSpecs'> = async ({ path, caller, services, reply }) =>
  reply(200, { extra_specs: { ...(await services.compute.flavors.show(caller, path.flavor_id)).extraSpecs } })

export const showFlavorExtraSpec: Handler<'showFlavorExtraSpec'> = async ({ path, caller, services, reply }) => {
  const { extraSpecs } = await services.compute.flavors.show(caller, path.flavor_id)
  const value = Object.hasOwn(extraSpecs, path.key) ? extraSpecs[path.key] : undefined
  if (value === undefined) throw new DomainError('notFound', `Flavor ${path.flavor_id} has no extra specs with key ${path.key}.`)
  return reply(200, { [path.key]: value })
}

function listOf({ search }: Here): FlavorList & { limit: number } {
  const marker = search.get('marker')
  const sortDir = search.get('sort_dir')
  return {
    limit: limitOf(search.get('limit')),
    ...(search.has('minDisk') ? { minDisk: atLeast(search.get('minDisk'), 'minDisk') } : {}),
    ...(search.has('minRam') ? { minRam: atLeast(search.get('minRam'), 'minRam') } : {}),
    ...(search.has('is_public') ? { isPublic: publicOf(search.get('is_public')) } : {}),
    ...(marker === null || marker === '' ? {} : { marker }),
    ...(search.has('sort_key') ? { sortKey: sortKeyOf(search.get('sort_key') ?? '') } : {}),
    ...(sortDir === 'asc' || sortDir === 'desc' ? { sortDir } : {}),
  }
}

function atLeast(text: string | null, name: string): number {
  if (text !== null && /^-?\d+$/.test(text)) return Number(text)
  throw new DomainError('invalid', `Invalid ${name} filter [${text}]`)
}

const publicOf = (text: string | null): boolean | null => (text?.toLowerCase() === 'none' ? null : queryFlag(text))

const SORT_KEYS: readonly FlavorSortKey[] = ['flavorid', 'name', 'memory_mb', 'vcpus', 'root_gb']
function sortKeyOf(text: string): FlavorSortKey {
  const key = SORT_KEYS.find((known) => known === text)
  if (key !== undefined) return key
  throw new DomainError(
    'invalid',
    `Invalid input for query parameters sort_key. Value: ${text}. ${pythonRepr(text)} is not one of [${SORT_KEYS.map((known) => pythonRepr(known)).join(', ')}]`,
  )
}
