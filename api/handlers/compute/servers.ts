import { DomainError } from '../../../src/domain/errors.js'
import type { ServerUpdate } from '../../../src/services/compute/servers.js'
import { isStatus, type ServerList, type ServerSortKey, SORT_KEYS } from '../../../src/services/compute/servers-list.js'
import type { Caller, Handler, Here, Version } from '../../contract.js'
import { pythonRepr } from '../../faults/schema-words.js'
import { nextLink, resourceLinks } from '../../views/compute/links.js'
import { diskConfigOf, serverChangedView, serverSummary, serverView } from '../../views/compute/server.js'
import { adminPassword, newServer, normalIpV6 } from './server-wire.js'
import { flagOf, limitOf, momentOf, queryFlag } from './wire.js'

export const listServers: Handler<'listServers'> = async ({ here, caller, version, services, reply }) => {
  const query = listOf(here, version, caller)
  const servers = await services.compute.servers.list(caller, query)
  const links = nextLink(here, servers, query.limit)
  return reply(200, {
    servers: servers.map((server) => serverSummary(server, here)),
    ...(links === undefined ? {} : { servers_links: links }),
  })
}

export const listServersDetail: Handler<'listServersDetail'> = async ({ here, caller, version, services, reply }) => {
  const query = listOf(here, version, caller)
  const records = await services.compute.servers.listDetail(caller, query)
  const links = nextLink(
    here,
    records.map(({ server }) => server),
    query.limit,
  )
  const servers = records.map((record) => serverView(record, { caller, version, here }))
  return reply(200, { servers, ...(links === undefined ? {} : { servers_links: links }) })
}

export const createServer: Handler<'createServer'> = async ({ body, caller, version, here, services, reply }) => {
  const adminPass = body.server.adminPass ?? adminPassword()
  return services.compute.create.create(caller, newServer(body.server, version), (servers) => {
    const [first] = servers
    if (first === undefined) throw new DomainError('overQuota', 'Quota exceeded for resources: instances')
    if (flagOf(body.server.return_reservation_id ?? false)) return reply(202, { reservation_id: first.reservationId })
    const server = {
      id: first.id,
      links: resourceLinks(here, 'servers', first.id),
      'OS-DCF:diskConfig': diskConfigOf(first),
      security_groups: [{ name: 'default' }],
      adminPass,
    }
    return reply(202, { server }, { location: `${here.service}/v2.1/servers/${first.id}` })
  })
}

export const showServer: Handler<'showServer'> = async ({ path, caller, version, here, services, reply }) =>
  reply(200, { server: serverView(await services.compute.servers.show(caller, path.server_id), { caller, version, here }) })

export const updateServer: Handler<'updateServer'> = async ({ path, body, caller, version, here, services, reply }) => {
  const { name, description, accessIPv4, accessIPv6 } = body.server
  const change: ServerUpdate = {
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    ...(accessIPv4 === undefined ? {} : { accessIpV4: accessIPv4 }),
    ...(accessIPv6 === undefined ? {} : { accessIpV6: normalIpV6(accessIPv6) }),
  }
  return services.compute.servers.update(caller, path.server_id, change, (record) =>
    reply(200, { server: serverChangedView(record, { caller, version, here }) }),
  )
}

export const deleteServer: Handler<'deleteServer'> = async ({ path, caller, services, reply }) =>
  services.compute.servers.remove(caller, path.server_id, () => reply(204))

function listOf(here: Here, version: Version, caller: Caller): ServerList {
  const { search } = here
  const text = (name: string) => search.get(name) ?? undefined
  const since = text('changes-since')
  const tagsOf = (name: string) => (version.atLeast(26) ? text(name)?.split(',') : undefined)
  const marker = text('marker')
  const optional = {
    projectId: text('project_id') ?? text('tenant_id'),
    name: text('name'),
    id: text('uuid'),
    flavorId: text('flavor')?.split('/').at(-1),
    imageId: text('image')?.split('/').at(-1),
    reservationId: text('reservation_id'),
    hostId: text('host'),
    tags: tagsOf('tags'),
    tagsAny: tagsOf('tags-any'),
    notTags: tagsOf('not-tags'),
    notTagsAny: tagsOf('not-tags-any'),
    changesSince: since === undefined ? undefined : momentOf(since, 'changes-since'),
    marker: marker === '' ? undefined : marker,
  }
  return {
    allTenants: queryFlag(search.get('all_tenants')),
    status: statuses(search.getAll('status'), version),
    limit: limitOf(search.get('limit')),
    sort: sortOf(search),
    // No server has an address, so that one asked for finds nothing. From 2.5 members may ask for the longer ones too.
    byAddress: search.has('ip') || (search.has('ip6') && (version.atLeast(5) || caller.isAdmin)),
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) as Partial<ServerList>),
  }
}

function statuses(words: string[], version: Version): string[] {
  if (version.atLeast(38) && words.length > 0 && !words.some(isStatus)) throw new DomainError('invalid', 'Invalid status value')
  return words
}

function sortOf(search: URLSearchParams): ServerList['sort'] {
  const dirs = search.getAll('sort_dir')
  for (const dir of dirs)
    if (dir !== 'asc' && dir !== 'desc')
      throw new DomainError(
        'invalid',
        `Invalid input for query parameters sort_dir. Value: ${dir}. Unknown sort direction, must be one of: asc, desc`,
      )
  return search.getAll('sort_key').map((key, index) => {
    if (!Object.hasOwn(SORT_KEYS, key)) {
      const known = Object.keys(SORT_KEYS).map(pythonRepr).join(', ')
      throw new DomainError(
        'invalid',
        `Invalid input for query parameters sort_key. Value: ${key}. ${pythonRepr(key)} is not one of [${known}]`,
      )
    }
    return { key: key as ServerSortKey, dir: dirs[index] === 'asc' ? 'asc' : 'desc' }
  })
}
