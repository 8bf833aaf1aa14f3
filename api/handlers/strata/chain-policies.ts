/** How long chains may get: a server's own rule, and its project's. */
import type { ChainLimits } from '../../../src/domain/chain-policy.js'
import type { Handler } from '../../contract.js'
import { policyView } from '../../views/strata/chains.js'

const server = (id: string) => ({ kind: 'server', id }) as const
const project = (id: string) => ({ kind: 'project', id }) as const

const limitsOf = (body: { soft_depth?: number; hard_depth?: number; bytes_per_second?: number }): Partial<ChainLimits> => ({
  ...(body.soft_depth === undefined ? {} : { softDepth: body.soft_depth }),
  ...(body.hard_depth === undefined ? {} : { hardDepth: body.hard_depth }),
  ...(body.bytes_per_second === undefined ? {} : { bytesPerSecond: body.bytes_per_second }),
})

export const showServerChainPolicy: Handler<'showServerChainPolicy'> = async ({ caller, path, services, reply }) =>
  reply(200, { chain_policy: policyView(await services.chainPolicy.show(caller, server(path.server_id))) })

export const setServerChainPolicy: Handler<'setServerChainPolicy'> = async ({ caller, path, body, services, reply }) =>
  await services.chainPolicy.set(caller, server(path.server_id), limitsOf(body), (policy) =>
    reply(200, { chain_policy: policyView(policy) }),
  )

export const clearServerChainPolicy: Handler<'clearServerChainPolicy'> = async ({ caller, path, services, reply }) => {
  await services.chainPolicy.clear(caller, server(path.server_id))
  return reply(204)
}

export const showProjectChainPolicy: Handler<'showProjectChainPolicy'> = async ({ caller, path, services, reply }) =>
  reply(200, { chain_policy: policyView(await services.chainPolicy.show(caller, project(path.project_id))) })

export const setProjectChainPolicy: Handler<'setProjectChainPolicy'> = async ({ caller, path, body, services, reply }) =>
  await services.chainPolicy.set(caller, project(path.project_id), limitsOf(body), (policy) =>
    reply(200, { chain_policy: policyView(policy) }),
  )

export const clearProjectChainPolicy: Handler<'clearProjectChainPolicy'> = async ({ caller, path, services, reply }) => {
  await services.chainPolicy.clear(caller, project(path.project_id))
  return reply(204)
}
