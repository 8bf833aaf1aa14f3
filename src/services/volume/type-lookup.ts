/** Finding a volume type as a caller may see it: public, shared with the caller's project, or any for an admin. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { VolumeType } from '../../domain/volume.js'
import { ANY, type Query, type Stores } from '../../ports/stores.js'
import { DEFAULT_TYPE } from './access.js'

export async function findType(stores: Stores, caller: Caller, id: string): Promise<VolumeType> {
  const type = await stores.volumeTypes.find(ANY, id)
  if (type === undefined || !(await mayUse(stores, caller, type)))
    throw new DomainError('notFound', `Volume type ${id} could not be found.`)
  return type
}

export async function findTypeByNameOrId(stores: Stores, caller: Caller, wanted: string): Promise<VolumeType> {
  const type = (await stores.volumeTypes.find(ANY, wanted)) ?? (await findTypeByName(stores, wanted))
  if (type === undefined || !(await mayUse(stores, caller, type)))
    throw new DomainError('notFound', `Volume type with name ${wanted} could not be found.`)
  return type
}

export const findTypeByName = async (stores: Stores, name: string): Promise<VolumeType | undefined> =>
  (await stores.volumeTypes.list(ANY, { where: { name: { is: name } }, limit: 1 }))[0]

/** What a volume becomes that names no type: the project's own default, else everybody's. */
export async function requireDefaultType(stores: Stores, projectId: string): Promise<VolumeType> {
  const own = await stores.defaultVolumeTypes.find(ANY, projectId)
  const type = (own && (await stores.volumeTypes.find(ANY, own.volumeTypeId))) ?? (await findTypeByName(stores, DEFAULT_TYPE))
  if (type === undefined) throw new DomainError('notFound', 'Default volume type can not be found.')
  return type
}

async function mayUse(stores: Stores, caller: Caller, type: VolumeType): Promise<boolean> {
  if (type.isPublic || caller.isAdmin) return true
  return (await stores.volumeTypeAccess.count({ projectId: caller.projectId }, { volumeTypeId: { is: type.id } })) > 0
}

/** The private types a project may use. */
export const sharedWith = async (stores: Stores, projectId: string): Promise<string[]> =>
  (await stores.volumeTypeAccess.list({ projectId })).map(({ volumeTypeId }) => volumeTypeId)

/** All that match, in order, public or among these. */
export async function publicOr(stores: Stores, shared: readonly string[], { where, sort }: Query<VolumeType>): Promise<VolumeType[]> {
  const all = await stores.volumeTypes.list(ANY, { ...(where === undefined ? {} : { where }), ...(sort === undefined ? {} : { sort }) })
  return all.filter((type) => type.isPublic || shared.includes(type.id))
}
