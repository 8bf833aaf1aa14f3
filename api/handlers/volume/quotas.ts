import { DomainError } from '../../../src/domain/errors.js'
import type { Handler } from '../../contract.js'
import { pythonRepr } from '../../faults/schema-words.js'
import { limitsView, quotaSetView, quotaUsageView } from '../../views/volume/quota.js'
import { isTrue } from './wire-values.js'

export const showVolumeQuotas: Handler<'showVolumeQuotas'> = async ({ path, query, caller, services, reply }) => {
  const usages = await services.volumeQuota.showQuotas(caller, path.target_id)
  return reply(200, { quota_set: (isTrue(query.usage) ? quotaUsageView : quotaSetView)(path.target_id, usages) })
}

export const showVolumeQuotaDefaults: Handler<'showVolumeQuotaDefaults'> = async ({ path, caller, services, reply }) =>
  reply(200, { quota_set: { ...(await services.volumeQuota.showQuotaDefaults(caller, path.target_id)), id: path.target_id } })

export const updateVolumeQuotas: Handler<'updateVolumeQuotas'> = async ({ path, body, caller, services, reply }) =>
  services.volumeQuota.setQuotas(caller, path.target_id, limitsOf(body.quota_set), (limits) => reply(200, { quota_set: limits }))

export const deleteVolumeQuotas: Handler<'deleteVolumeQuotas'> = async ({ path, caller, services, reply }) => {
  await services.volumeQuota.clearQuotas(caller, path.target_id)
  return reply(200)
}

export const showVolumeQuotaClass: Handler<'showVolumeQuotaClass'> = async ({ path, caller, services, reply }) =>
  reply(200, { quota_class_set: { ...(await services.volumeQuota.showQuotaClass(caller, path.quota_class)), id: path.quota_class } })

export const updateVolumeQuotaClass: Handler<'updateVolumeQuotaClass'> = async ({ path, body, caller, services, reply }) =>
  services.volumeQuota.setQuotaClass(caller, path.quota_class, limitsOf(body.quota_class_set), (limits) =>
    reply(200, { quota_class_set: limits }),
  )

/** From 3.39 an admin may ask for another project's. */
export const showVolumeLimits: Handler<'showVolumeLimits'> = async ({ here, caller, version, services, reply }) => {
  const named = here.search.get('project_id') ?? here.search.get('tenant_id') ?? undefined
  const project = version.atLeast(39) ? named : undefined
  return reply(200, { limits: limitsView(await services.volumeQuota.showLimits(caller, project)) })
}

const IGNORED = new Set(['tenant_id', 'force', 'id'])

function limitsOf(set: Readonly<Record<string, unknown>>): Record<string, number> {
  const limits: [string, number][] = []
  for (const [resource, value] of Object.entries(set)) {
    if (IGNORED.has(resource)) continue
    const whole = typeof value !== 'boolean' && /^(-1|\d{1,10})$/.test(String(value)) && Number(value) < 2 ** 31
    if (!whole)
      throw new DomainError(
        'invalid',
        `Invalid input for field/attribute ${resource.slice(0, 255)}. Value: ${String(value).slice(0, 255)}. ${pythonRepr(value).slice(0, 255)} is not a limit: a whole number of at least -1.`,
      )
    limits.push([resource, Number(value)])
  }
  return Object.fromEntries(limits)
}
