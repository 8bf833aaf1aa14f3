/**
 * The query of a Cinder list: paging, both spellings of sorting, and filters by the rules of the caller's version.
 * Below 3.31 a member's unknown filters are dropped; from there on they are refused. An admin may name any column,
 * and one that does not exist matches nothing.
 */
import type { Caller } from '../../../src/domain/caller.js'
import { DomainError } from '../../../src/domain/errors.js'
import type { Condition, Query } from '../../../src/ports/stores.js'
import type { Here } from '../../contract.js'
import type { Version } from '../../versions.js'
import { isTrue, metadataFilter } from './wire-values.js'

const MAX_LIMIT = 1000

const invalid = (sentence: string): DomainError => new DomainError('invalid', sentence)

/** From text to a condition; undefined: such a value matches nothing. */
export type Filter = (text: string) => Condition | undefined
export const exact: Filter = (text) => ({ is: text })
export const whole: Filter = (text) => (/^\d{1,9}$/.test(text) ? { is: Number(text) } : undefined)
export const truth: Filter = (text) => ({ is: isTrue(text) })
export const pairs: Filter = (text) => {
  const wanted = metadataFilter(text)
  return wanted === undefined ? undefined : { pairs: wanted }
}

export interface ListRules<T> {
  readonly sortKeys: Readonly<Record<string, keyof T & string>>
  /** The minor version from which `name` is a sort key; `display_name` always was. */
  readonly sortsByNameSince?: number
  /** `since`: the minor version from which a member may use it; undefined: admins only. */
  readonly filters: Readonly<Record<string, readonly [field: keyof T & string, filter: Filter, since?: number]>>
}

export interface ListOptions<T> {
  readonly query: Query<T>
  readonly allTenants: boolean
  readonly count: boolean
}

interface Asked {
  readonly here: Here
  readonly caller: Caller
  readonly version: Version
}

const NOT_FILTERS = new Set(['limit', 'offset', 'marker', 'sort', 'sort_key', 'sort_dir', 'all_tenants'])

export function listOptions<T>(rules: ListRules<T>, { here, caller, version }: Asked): ListOptions<T> {
  const { search } = here
  const where: Record<string, Condition> = {}
  const refused: string[] = []
  const counts = version.atLeast(45)
  for (const [name, text] of search) {
    if (NOT_FILTERS.has(name) || (counts && name === 'with_count')) continue
    const like = version.atLeast(34) && /^(name|description)~$/.test(name)
    const known = like ? undefined : Object.hasOwn(rules.filters, name) ? rules.filters[name] : undefined
    if (like) where[name.slice(0, -1)] = { contains: text }
    else if (known !== undefined && (caller.isAdmin || (known[2] !== undefined && version.atLeast(known[2]))))
      where[known[0]] = known[1](text) ?? { in: [] }
    else if (caller.isAdmin) where['id'] = { in: [] }
    else refused.push(name)
  }
  if (refused.length > 0 && version.atLeast(31)) throw invalid(`Invalid filters ${refused.join(', ')} are found in query options.`)
  const marker = search.get('marker')
  const query = {
    where: where as NonNullable<Query<T>['where']>,
    sort: sorting(rules, search, version),
    limit: Math.min(MAX_LIMIT, nonNegative(search.get('limit'), 'limit', 'limit param must be positive') ?? MAX_LIMIT),
    offset: nonNegative(search.get('offset'), 'offset', 'offset must be >= 0') ?? 0,
    ...(marker === null || marker === '' ? {} : { after: marker }),
  }
  return { query, allTenants: isTrue(search.get('all_tenants') ?? ''), count: counts && isTrue(search.get('with_count') ?? '') }
}

/** A full page promises another one, even where nothing follows. */
export function nextLinks(
  here: Here,
  query: { readonly limit?: number },
  ids: readonly string[],
): { href: string; rel: string }[] | undefined {
  const last = ids.at(-1)
  if (last === undefined || ids.length < (query.limit ?? MAX_LIMIT)) return undefined
  const search = new URLSearchParams(here.search)
  search.delete('marker')
  search.append('marker', last)
  return [{ href: `${here.origin}${here.path}?${search}`, rel: 'next' }]
}

function nonNegative(text: string | null, name: string, negative: string): number | undefined {
  if (text === null) return undefined
  if (!/^[+-]?\d{1,15}$/.test(text.trim())) throw invalid(`${name} param must be an integer`)
  if (Number(text) < 0) throw invalid(negative)
  return Number(text)
}

function sorting<T>(rules: ListRules<T>, search: URLSearchParams, version: Version): NonNullable<Query<T>['sort']> {
  const sort = search.get('sort')
  const oldKey = search.get('sort_key')
  const oldDir = search.get('sort_dir')
  if (sort !== null && (oldKey !== null || oldDir !== null))
    throw invalid("The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.")
  const parts = sort === null ? [[oldKey ?? 'created_at', oldDir ?? 'desc']] : sort.split(',').map((part) => part.trim().split(':'))
  return parts.map(([key = '', dir = 'desc']) => {
    const field =
      Object.hasOwn(rules.sortKeys, key) && (key !== 'name' || version.atLeast(rules.sortsByNameSince ?? 0))
        ? rules.sortKeys[key]
        : undefined
    if (field === undefined) throw invalid('Invalid input received: Invalid sort key')
    if (dir !== 'asc' && dir !== 'desc') throw invalid("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")
    return { key: field, dir }
  })
}
