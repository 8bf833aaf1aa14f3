/** How much compute a project may use and uses. */
import type { Caller } from '../../domain/caller.js'
import type { ComputeDeps } from './servers-common.js'

export interface ComputeLimits {
  readonly limits: Readonly<Record<'instances' | 'cores' | 'ram', number>>
  readonly used: Readonly<Record<'instances' | 'cores' | 'ram', number>>
}

export type ComputeLimitsService = ReturnType<typeof createComputeLimitsService>

export function createComputeLimitsService({ db }: Pick<ComputeDeps, 'db'>) {
  return {
    /** The caller's own project, or another one for an admin. */
    async show(caller: Caller, projectId?: string): Promise<ComputeLimits> {
      const project = caller.isAdmin ? (projectId ?? caller.projectId) : caller.projectId
      const [limits, used] = await Promise.all([db.read.quotas.limits(project), db.read.quotas.usage(project)])
      const pick = (from: Record<string, number>, fallback: number) => ({
        instances: from['instances'] ?? fallback,
        cores: from['cores'] ?? fallback,
        ram: from['ram'] ?? fallback,
      })
      return { limits: pick(limits, -1), used: pick(used, 0) }
    },
  }
}
