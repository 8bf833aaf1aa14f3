/** Who may use a private volume type, and which type a project's volumes have that name none: an admin's decisions. */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { DefaultVolumeType, VolumeType, VolumeTypeAccess } from '../../domain/volume.js'
import { ANY, Duplicate, type Stores } from '../../ports/stores.js'
import { allowAdmin, type VolumeDeps } from './access.js'
import { findType, findTypeByNameOrId } from './type-lookup.js'

export const createVolumeTypeGrants = ({ db, clock }: Pick<VolumeDeps, 'db' | 'clock'>) => ({
  listVolumeTypeAccess: async (caller: Caller, id: string): Promise<VolumeTypeAccess[]> => {
    allowAdmin(caller, 'volume_extension:volume_type_access:get_all_for_type')
    const type = await findType(db.read, caller, id)
    if (type.isPublic) throw new DomainError('notFound', 'Access list not available for public volume types.')
    return db.read.volumeTypeAccess.list(ANY, { where: { volumeTypeId: { is: id } }, sort: [{ key: 'seq', dir: 'asc' }] })
  },

  addVolumeTypeAccess: (caller: Caller, id: string, projectId: string): Promise<void> =>
    db.transaction(async (stores) => {
      allowAdmin(caller, 'volume_extension:volume_type_access:addProjectAccess')
      await requirePrivate(stores, caller, id)
      const taken = new DomainError('busy', `Volume type access for ${id} / ${projectId} combination already exists.`)
      if ((await accessOf(stores, id, projectId)) !== undefined) throw taken
      try {
        await stores.volumeTypeAccess.insert({ id: randomUUID(), volumeTypeId: id, projectId, createdAt: clock.now() })
      } catch (error) {
        throw error instanceof Duplicate ? taken : error
      }
    }),

  removeVolumeTypeAccess: (caller: Caller, id: string, projectId: string): Promise<void> =>
    db.transaction(async (stores) => {
      allowAdmin(caller, 'volume_extension:volume_type_access:removeProjectAccess')
      await requirePrivate(stores, caller, id)
      const access = await accessOf(stores, id, projectId)
      if (access === undefined) throw new DomainError('notFound', `Volume type access not found for ${id} / ${projectId} combination.`)
      await stores.volumeTypeAccess.remove(access.id)
    }),

  listDefaultVolumeTypes: async (caller: Caller): Promise<DefaultVolumeType[]> => {
    allowAdmin(caller, 'volume_extension:default_get_all')
    return db.read.defaultVolumeTypes.list(ANY)
  },

  showProjectDefaultType: async (caller: Caller, projectId: string): Promise<DefaultVolumeType> => {
    allowAdmin(caller, 'volume_extension:default_get')
    await requireProject(db.read, projectId)
    const found = await db.read.defaultVolumeTypes.find(ANY, projectId)
    if (found === undefined) throw new DomainError('notFound', `Default type for project ${projectId} not found.`)
    return found
  },

  /** By the type's name or id. */
  setProjectDefaultType: <R>(caller: Caller, projectId: string, wanted: string, reply: (type: VolumeType) => R): Promise<R> =>
    db.transaction(async (stores) => {
      allowAdmin(caller, 'volume_extension:default_set_or_update')
      await requireProject(stores, projectId)
      const type = await findTypeByNameOrId(stores, caller, wanted).catch((error: unknown) => {
        throw error instanceof DomainError && error.kind === 'notFound' ? new DomainError('invalid', error.message) : error
      })
      const old = await stores.defaultVolumeTypes.find(ANY, projectId)
      if (old === undefined) await stores.defaultVolumeTypes.insert({ id: projectId, volumeTypeId: type.id, createdAt: clock.now() })
      else await stores.defaultVolumeTypes.update(projectId, { volumeTypeId: type.id })
      return reply(type)
    }),

  /** Of a project that is gone too. */
  clearProjectDefaultType: (caller: Caller, projectId: string): Promise<void> =>
    db.transaction(async (stores) => {
      allowAdmin(caller, 'volume_extension:default_unset')
      if ((await stores.defaultVolumeTypes.find(ANY, projectId)) === undefined) await requireProject(stores, projectId)
      await stores.defaultVolumeTypes.remove(projectId)
    }),
})

async function requirePrivate(stores: Stores, caller: Caller, id: string): Promise<void> {
  if ((await findType(stores, caller, id)).isPublic)
    throw new DomainError('invalid', 'Invalid volume type: Type access modification is not applicable to public volume type.')
}

async function accessOf(stores: Stores, id: string, projectId: string): Promise<VolumeTypeAccess | undefined> {
  return (await stores.volumeTypeAccess.list({ projectId }, { where: { volumeTypeId: { is: id } }, limit: 1 }))[0]
}

async function requireProject(stores: Stores, id: string): Promise<void> {
  if ((await stores.projects.find(ANY, id)) === undefined) throw new DomainError('notFound', `Project with id ${id} not found.`)
}
