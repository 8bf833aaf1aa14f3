/** Hosts, and the bell. */
import type { Handler } from '../../contract.js'
import { hostView } from '../../views/strata/strata.js'

export const listHosts: Handler<'listHosts'> = async ({ caller, services, reply }) =>
  reply(200, { hosts: (await services.hosts.listHosts(caller)).map(hostView) })

export const showHost: Handler<'showHost'> = async ({ caller, path, services, reply }) =>
  reply(200, { host: hostView(await services.hosts.showHost(caller, path.host_id)) })

export const ringDoorbell: Handler<'ringDoorbell'> = async ({ caller, body, services, reply }) => {
  services.hosts.ring(caller, body.host_id)
  return reply(202)
}
