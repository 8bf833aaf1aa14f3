/** What would be done, told before it is done. */
import type { Handler } from '../../contract.js'
import { planView } from '../../views/strata/plans.js'

export const planDeleteServerSnapshot: Handler<'planDeleteServerSnapshot'> = async ({ caller, path, body, services, reply }) => {
  const asked = { mode: body?.mode ?? 'merge', children: body?.children ?? 'share' } as const
  return reply(200, { plan: planView(await services.plans.planDelete(caller, path.server_snapshot_id, asked)) })
}

export const planRevertServer: Handler<'planRevertServer'> = async ({ caller, path, body, services, reply }) => {
  const asked = { powerState: body?.power_state ?? null, memory: body?.memory ?? null, keepCurrent: body?.keep_current ?? false }
  return reply(200, { plan: planView(await services.plans.planRevert(caller, path.server_snapshot_id, asked)) })
}

export const planConsolidateServer: Handler<'planConsolidateServer'> = async ({ caller, path, body, services, reply }) =>
  reply(200, { plan: planView(await services.plans.planConsolidate(caller, path.server_id, body?.children ?? 'share')) })
