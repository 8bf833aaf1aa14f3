/** Volume types: labels with extra specs. One back end serves them all; `__DEFAULT__` is always there. */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Metadata } from '../../domain/metadata.js'
import type { VolumeType } from '../../domain/volume.js'
import { ANY, Duplicate, type Query, type Stores } from '../../ports/stores.js'
import { allowAdmin, DEFAULT_TYPE, type VolumeDeps } from './access.js'
import { createVolumeTypeGrants } from './type-grants.js'
import { findType, findTypeByName, publicOr, requireDefaultType, sharedWith } from './type-lookup.js'

export interface NewVolumeType {
  readonly name: string
  readonly description: string | null
  readonly isPublic: boolean
  readonly extraSpecs: Metadata
}

export const createVolumeTypeService = (deps: Pick<VolumeDeps, 'db' | 'clock'>) => {
  const { db } = deps
  const onType = <R>(caller: Caller, rule: string, id: string, work: (stores: Stores, type: VolumeType) => Promise<R>): Promise<R> =>
    db.transaction(async (stores) => {
      allowAdmin(caller, rule)
      return work(stores, await findType(stores, caller, id))
    })
  return {
    ...createVolumeTypeGrants(deps),

    /** `isPublic` undefined: what the caller may see. */
    listVolumeTypes: async (
      caller: Caller,
      { query, isPublic }: { query: Query<VolumeType>; isPublic: boolean | undefined },
    ): Promise<VolumeType[]> => {
      if (query.after !== undefined) await findType(db.read, caller, query.after)
      if (query.limit === 0) return []
      const seen = caller.isAdmin ? isPublic : true
      const shared = seen === true ? await sharedWith(db.read, caller.projectId) : []
      if (shared.length > 0) return pageOf(await publicOr(db.read, shared, query), query)
      const where = seen === undefined ? query.where : { ...query.where, isPublic: { is: seen } }
      return db.read.volumeTypes.list(ANY, { ...query, ...(where === undefined ? {} : { where }) })
    },

    showVolumeType: (caller: Caller, id: string): Promise<VolumeType> => findType(db.read, caller, id),
    showDefaultVolumeType: (caller: Caller): Promise<VolumeType> => requireDefaultType(db.read, caller.projectId),

    createVolumeType: <R>(caller: Caller, request: NewVolumeType, reply: (type: VolumeType) => R): Promise<R> =>
      db.transaction(async (stores) => {
        allowAdmin(caller, 'volume_extension:type_create')
        const name = checkName(request.name)
        await refuseTaken(stores, name)
        const id = randomUUID()
        await unlessTaken(name, stores.volumeTypes.insert({ ...request, name, id, createdAt: deps.clock.now() }))
        return reply(await findType(stores, caller, id))
      }),

    updateVolumeType: <R>(
      caller: Caller,
      id: string,
      patch: { name?: string | null; description?: string | null; isPublic?: boolean },
      reply: (type: VolumeType) => R,
    ): Promise<R> =>
      onType(caller, 'volume_extension:type_update', id, async (stores, type) => {
        if (Object.values(patch).every((value) => value === undefined || value === null))
          throw new DomainError('invalid', 'Specify volume type name, description, is_public or a combination thereof.')
        const name = patch.name == null ? type.name : checkName(patch.name)
        if (name !== type.name) await refuseTaken(stores, name)
        if (name !== type.name && type.name === DEFAULT_TYPE)
          throw new DomainError('invalid', `The volume type ${id} is a default volume type and cannot be renamed.`)
        const changed = {
          name,
          description: patch.description === undefined ? type.description : patch.description,
          isPublic: patch.isPublic ?? type.isPublic,
        }
        await unlessTaken(name, stores.volumeTypes.update(id, changed))
        return reply({ ...type, ...changed })
      }),

    deleteVolumeType: (caller: Caller, id: string): Promise<void> =>
      onType(caller, 'volume_extension:type_delete', id, async (stores, type) => {
        if (type.name === DEFAULT_TYPE)
          throw new DomainError('invalid', `The volume type ${id} is a default volume type and cannot be deleted.`)
        if ((await stores.volumes.count(ANY, { volumeTypeId: { is: id } })) > 0)
          throw new DomainError('invalid', 'Target volume type is still in use.')
        if ((await stores.defaultVolumeTypes.count(ANY, { volumeTypeId: { is: id } })) > 0)
          throw new DomainError('invalid', `The volume type ${id} is the default of a project and cannot be deleted.`)
        for (const access of await stores.volumeTypeAccess.list(ANY, { where: { volumeTypeId: { is: id } } }))
          await stores.volumeTypeAccess.remove(access.id)
        await stores.volumeTypes.remove(id)
      }),

    listExtraSpecs: async (caller: Caller, id: string): Promise<Metadata> => (await findType(db.read, caller, id)).extraSpecs,

    showExtraSpec: async (caller: Caller, id: string, key: string): Promise<string> => {
      const value = specOf(await findType(db.read, caller, id), key)
      if (value === undefined) throw specNotFound(id, key)
      return value
    },

    /** Merges; an empty body and names Cinder forbids are refused by the contract. */
    setExtraSpecs: <R>(caller: Caller, id: string, specs: Metadata, reply: () => R): Promise<R> =>
      onType(caller, 'volume_extension:types_extra_specs:create', id, async (stores, type) => {
        await stores.volumeTypes.update(id, { extraSpecs: { ...type.extraSpecs, ...specs } })
        return reply()
      }),

    deleteExtraSpec: (caller: Caller, id: string, key: string): Promise<void> =>
      onType(caller, 'volume_extension:types_extra_specs:delete', id, async (stores, type) => {
        if (specOf(type, key) === undefined) throw specNotFound(id, key)
        const { [key]: _, ...rest } = type.extraSpecs
        await stores.volumeTypes.update(id, { extraSpecs: rest })
      }),
  }
}

export type VolumeTypeService = ReturnType<typeof createVolumeTypeService>

/** The page of a list that was read whole: there are never many types. */
function pageOf(types: readonly VolumeType[], { after, offset = 0, limit }: Query<VolumeType>): VolumeType[] {
  const from = (after === undefined ? 0 : types.findIndex(({ id }) => id === after) + 1) + offset
  return types.slice(from, limit === undefined ? undefined : from + limit)
}

async function refuseTaken(stores: Stores, name: string): Promise<void> {
  if ((await findTypeByName(stores, name)) !== undefined) throw taken(name)
}

/** Another request may take the name between our look and our write; the database has the last word. */
async function unlessTaken(name: string, write: Promise<void>): Promise<void> {
  try {
    await write
  } catch (error) {
    throw error instanceof Duplicate ? taken(name) : error
  }
}

const taken = (name: string): DomainError => new DomainError('busy', `Volume Type ${name} already exists.`)

function checkName(name: string): string {
  const stripped = name.trim()
  if (stripped === '') throw new DomainError('invalid', 'Volume type name can not be empty.')
  return stripped
}

const specOf = (type: VolumeType, key: string): string | undefined =>
  Object.hasOwn(type.extraSpecs, key) ? type.extraSpecs[key] : undefined
const specNotFound = (id: string, key: string): DomainError =>
  new DomainError('notFound', `Volume Type ${id} has no extra specs with key ${key}.`)
