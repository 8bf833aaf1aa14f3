/** Listing servers: Nova's filters turned into conditions of the store; what SQL cannot say portably is filtered after, page by page. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Server, ServerTask, VmState } from '../../domain/server.js'
import type { Micros } from '../../domain/time.js'
import { ANY, type Condition, type Query, type Scope } from '../../ports/stores.js'
import { compilePattern, isPlain } from './name-pattern.js'
import { type ComputeDeps, requireAdmin } from './servers-common.js'

export interface ServerList {
  readonly allTenants: boolean
  readonly projectId?: string
  readonly status?: readonly string[]
  /** A regular expression. */
  readonly name?: string
  readonly id?: string
  readonly flavorId?: string
  readonly imageId?: string
  readonly reservationId?: string
  readonly hostId?: string
  readonly tags?: readonly string[]
  readonly tagsAny?: readonly string[]
  readonly notTags?: readonly string[]
  readonly notTagsAny?: readonly string[]
  /** By an address: no server has one. */
  readonly byAddress?: boolean
  readonly changesSince?: Micros
  readonly marker?: string
  readonly limit: number
  readonly sort: readonly { readonly key: ServerSortKey; readonly dir: 'asc' | 'desc' }[]
}

export const SORT_KEYS = {
  created_at: 'createdAt',
  updated_at: 'updatedAt',
  display_name: 'name',
  uuid: 'id',
  vm_state: 'vmState',
  task_state: 'taskState',
  host: 'hostId',
  image_ref: 'imageId',
  launched_at: 'launchedAt',
  power_state: 'powerState',
} as const satisfies Record<string, keyof Server>
export type ServerSortKey = keyof typeof SORT_KEYS

/** What each word of the wire means in states; undefined: no such word. */
const STATUS: Readonly<Record<string, { vmStates: readonly VmState[]; taskStates?: readonly ServerTask[] }>> = {
  ACTIVE: { vmStates: ['active'] },
  REBOOT: { vmStates: ['active'], taskStates: ['rebooting'] },
  HARD_REBOOT: { vmStates: ['active'], taskStates: ['rebooting_hard'] },
  REBUILD: { vmStates: ['active', 'stopped'], taskStates: ['rebuilding'] },
  BUILD: { vmStates: ['building'] },
  SHUTOFF: { vmStates: ['stopped'] },
  PAUSED: { vmStates: ['paused'] },
  SUSPENDED: { vmStates: ['suspended'] },
  ERROR: { vmStates: ['error'] },
  DELETED: { vmStates: ['deleted'] },
}

export const isStatus = (word: string): boolean => Object.hasOwn(STATUS, word.toUpperCase())

export async function listServers({ db }: Pick<ComputeDeps, 'db'>, caller: Caller, list: ServerList): Promise<Server[]> {
  if (list.allTenants) requireAdmin(caller, 'servers:index:get_all_tenants')
  const scope: Scope = list.allTenants ? ANY : { projectId: caller.projectId }
  if (list.marker !== undefined && (await db.read.servers.find(scope, list.marker)) === undefined)
    throw new DomainError('invalid', `marker [${list.marker}] not found`)
  const where = conditions(caller, list)
  if (where === undefined || list.limit === 0 || list.byAddress === true) return []
  const matches = afterwards(list)
  const sort = list.sort.map(({ key, dir }) => ({ key: SORT_KEYS[key], dir }))
  const found: Server[] = []
  let after = list.marker
  for (;;) {
    const query: Query<Server> = {
      where,
      limit: list.limit,
      ...(sort.length === 0 ? {} : { sort }),
      ...(after === undefined ? {} : { after }),
    }
    const page = await db.read.servers.list(scope, query)
    found.push(...(matches === undefined ? page : page.filter(matches)))
    after = page.at(-1)?.id
    if (found.length >= list.limit || page.length < list.limit) return found.slice(0, list.limit)
  }
}

/** undefined: nothing can match. */
function conditions(caller: Caller, list: ServerList): Query<Server>['where'] | undefined {
  const states = stateConditions(caller, list)
  if (states === undefined) return undefined
  const is = (value: string | undefined): Condition | undefined => (value === undefined ? undefined : { is: value })
  const all: Record<string, Condition | undefined> = {
    ...states,
    id: is(list.id),
    imageId: is(list.imageId),
    reservationId: is(list.reservationId),
    hostId: caller.isAdmin ? is(list.hostId) : undefined,
    projectId: list.allTenants ? is(list.projectId) : undefined,
    name: list.name !== undefined && isPlain(list.name) ? { contains: list.name } : undefined,
    updatedAt: list.changesSince === undefined ? undefined : { atLeast: list.changesSince },
  }
  return Object.fromEntries(Object.entries(all).filter(([, condition]) => condition !== undefined)) as Query<Server>['where']
}

function stateConditions(caller: Caller, list: ServerList): Record<string, Condition> | undefined {
  if (list.status === undefined || list.status.length === 0)
    // Whoever follows changes wants to hear of deletions too.
    return list.changesSince === undefined ? { vmState: { not: 'deleted' } } : {}
  const known = list.status.flatMap((word) => STATUS[word.toUpperCase()] ?? [])
  if (known.length === 0) return undefined
  if (!caller.isAdmin && known.some((state) => state.vmStates.includes('deleted')))
    throw new DomainError('forbidden', 'Only administrators may list deleted servers')
  return { vmState: { in: [...new Set(known.flatMap((state) => state.vmStates))] } }
}

function afterwards(list: ServerList): ((server: Server) => boolean) | undefined {
  const tests: ((server: Server) => boolean)[] = []
  if (list.name !== undefined && !isPlain(list.name)) {
    const matches = compilePattern(list.name)
    tests.push((server) => matches(server.name))
  }
  if (list.flavorId !== undefined) tests.push((server) => server.flavor.id === list.flavorId)
  const { tags, tagsAny, notTags, notTagsAny, status } = list
  if (tags !== undefined) tests.push((server) => tags.every((tag) => server.tags.includes(tag)))
  if (tagsAny !== undefined) tests.push((server) => tagsAny.some((tag) => server.tags.includes(tag)))
  if (notTags !== undefined) tests.push((server) => !notTags.every((tag) => server.tags.includes(tag)))
  if (notTagsAny !== undefined) tests.push((server) => !notTagsAny.some((tag) => server.tags.includes(tag)))
  if (status !== undefined && status.length > 0) tests.push((server) => status.some((word) => word.toUpperCase() === statusOf(server)))
  return tests.length === 0 ? undefined : (server) => tests.every((test) => test(server))
}

/** The word a caller sees. */
export function statusOf(server: Pick<Server, 'vmState' | 'taskState'>): string {
  for (const [word, { vmStates, taskStates }] of Object.entries(STATUS))
    if (taskStates !== undefined && vmStates.includes(server.vmState) && server.taskState !== null && taskStates.includes(server.taskState))
      return word
  for (const [word, { vmStates, taskStates }] of Object.entries(STATUS))
    if (taskStates === undefined && vmStates.includes(server.vmState)) return word
  return 'UNKNOWN'
}
