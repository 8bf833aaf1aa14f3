/** Chains of disks: seen, pulled, committed, copied. */
import type { Handler } from '../../contract.js'
import { acceptedView, chainView } from '../../views/strata/chains.js'

export const showChain: Handler<'showChain'> = async ({ caller, path, services, reply }) =>
  reply(200, { chain: chainView(await services.chain.show(caller, path.volume_id)) })

export const pullChain: Handler<'pullChain'> = async ({ caller, path, body = {}, services, reply }) => {
  const request = { baseLayerId: body.base ?? null, bytesPerSecond: body.bytes_per_second ?? 0 }
  return await services.chain.pull(caller, path.volume_id, request, (accepted) => reply(202, acceptedView(accepted)))
}

export const commitChain: Handler<'commitChain'> = async ({ caller, path, body = {}, services, reply }) => {
  const request = { topLayerId: body.top, baseLayerId: body.base, bytesPerSecond: body.bytes_per_second ?? 0 }
  return await services.chain.commit(caller, path.volume_id, request, (accepted) => reply(202, acceptedView(accepted)))
}

export const copyDisk: Handler<'copyDisk'> = async ({ caller, path, body = {}, services, reply }) =>
  await services.chain.copy(
    caller,
    path.volume_id,
    {
      pool: body.pool,
      format: body.format ?? 'qcow2',
      keep: body.keep ?? false,
      name: body.name ?? null,
      description: body.description ?? null,
      bytesPerSecond: body.bytes_per_second ?? 0,
    },
    (accepted) => reply(202, acceptedView(accepted)),
  )
