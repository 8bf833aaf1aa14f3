/** Chains of disks: seen, pulled, committed, copied. */
import { DomainError } from '../../../src/domain/errors.js'
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

export const copyDisk: Handler<'copyDisk'> = async ({ caller, path, body = {}, services, reply }) => {
  const { pool, format = 'qcow2', keep = false, name = null, description = null, bytes_per_second: bytesPerSecond = 0 } = body
  // Whoever names the copy wants one beside the disk: moving the disk there instead is not taken back.
  if (!keep && (name !== null || description !== null))
    throw new DomainError('invalid', 'Only a copy that is kept has a name and a description: say keep.')
  const request = { pool, format, keep, name, description, bytesPerSecond }
  return await services.chain.copy(caller, path.volume_id, request, (accepted) => reply(202, acceptedView(accepted)))
}
