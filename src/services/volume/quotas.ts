/** Quota sets of projects and of the default class, and the `limits` a tenant sees. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { limitOf, VOLUME_RESOURCES } from '../quota.js'
import { allowAdmin, type VolumeDeps } from './access.js'

export type Limits = Readonly<Record<string, number>>
export interface QuotaUsage {
  readonly limit: number
  readonly inUse: number
}

/** The one class there is. */
const DEFAULT_CLASS = 'default'

export const createVolumeQuotaService = ({ db }: Pick<VolumeDeps, 'db'>) => ({
  showQuotas: async (caller: Caller, projectId: string): Promise<Record<string, QuotaUsage>> => {
    allowProject(caller, projectId)
    return usageOf(db.read, projectId)
  },

  showQuotaDefaults: async (caller: Caller, projectId: string): Promise<Limits> => {
    allowProject(caller, projectId)
    return named(db.read, await db.read.quotas.defaults())
  },

  setQuotas: <R>(caller: Caller, projectId: string, limits: Limits, reply: (limits: Limits) => R): Promise<R> =>
    db.transaction(async (stores) => {
      allowAdmin(caller, 'volume_extension:quotas:update')
      await refuseUnknown(stores, limits)
      await stores.quotas.setLimits(projectId, limits)
      return reply(await named(stores, await stores.quotas.limits(projectId)))
    }),

  clearQuotas: (caller: Caller, projectId: string): Promise<void> =>
    db.transaction(async (stores) => {
      allowAdmin(caller, 'volume_extension:quotas:delete')
      await stores.quotas.clearLimits(projectId)
    }),

  showQuotaClass: async (caller: Caller, name: string): Promise<Limits> => {
    allowAdmin(caller, 'volume_extension:quota_classes:get')
    requireClass(name)
    return named(db.read, await db.read.quotas.defaults())
  },

  setQuotaClass: <R>(caller: Caller, name: string, limits: Limits, reply: (limits: Limits) => R): Promise<R> =>
    db.transaction(async (stores) => {
      allowAdmin(caller, 'volume_extension:quota_classes:update')
      requireClass(name)
      await refuseUnknown(stores, limits)
      await stores.quotas.setDefaults(limits)
      return reply(await named(stores, await stores.quotas.defaults()))
    }),

  /** The caller's project; another one for admins. */
  showLimits: async (caller: Caller, projectId: string | undefined): Promise<Record<string, QuotaUsage>> =>
    usageOf(db.read, caller.isAdmin ? (projectId ?? caller.projectId) : caller.projectId),
})

export type VolumeQuotaService = ReturnType<typeof createVolumeQuotaService>

function allowProject(caller: Caller, projectId: string): void {
  if (projectId !== caller.projectId) allowAdmin(caller, 'volume_extension:quotas:show')
}

/** Only the default class exists: others would be kept and never looked at. */
function requireClass(name: string): void {
  if (name !== DEFAULT_CLASS) throw new DomainError('notFound', `Quota class ${name} could not be found.`)
}

async function resourcesOf(stores: Stores): Promise<string[]> {
  const types = await stores.volumeTypes.list(ANY)
  return [...VOLUME_RESOURCES, ...types.flatMap(({ name }) => [`volumes_${name}`, `snapshots_${name}`, `gigabytes_${name}`])]
}

async function named(stores: Stores, limits: Limits): Promise<Limits> {
  return Object.fromEntries((await resourcesOf(stores)).map((resource) => [resource, limitOf(limits, resource)]))
}

async function usageOf(stores: Stores, projectId: string): Promise<Record<string, QuotaUsage>> {
  const limits = await stores.quotas.limits(projectId)
  const usage = await stores.quotas.usage(projectId)
  return Object.fromEntries(
    (await resourcesOf(stores)).map((resource) => [resource, { limit: limitOf(limits, resource), inUse: usage[resource] ?? 0 }]),
  )
}

async function refuseUnknown(stores: Stores, limits: Limits): Promise<void> {
  const known = new Set(await resourcesOf(stores))
  const bad = Object.keys(limits).filter((key) => !known.has(key))
  if (bad.length > 0) throw new DomainError('invalid', `Bad key(s) in quota set: ${bad.sort().join(', ')}`)
}
