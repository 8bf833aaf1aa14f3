/**
 * The query of a Cinder list: paging, both spellings of sorting, and filters by the rules of the caller's version.
 * Below 3.31 a member's unknown filters are dropped; from there on they are refused. An admin may name any column,
 * and one that does not exist matches nothing. What each list knows stands in list-rules.ts.
 */
import type { Caller } from '../../../src/domain/caller.js'
import { DomainError } from '../../../src/domain/errors.js'
import type { Condition, Query } from '../../../src/ports/stores.js'
import type { Here } from '../../contract.js'
import type { Version } from '../../versions.js'
import { boolParam, isTrue, metadataFilter, truthOf } from './wire-values.js'

const MAX_LIMIT = 1000

const invalid = (sentence: string): DomainError => new DomainError('invalid', sentence)

/** From text to a condition; 'all': it says nothing; undefined: such a value matches nothing. */
export type Filter = (text: string, name: string, version: Version) => Condition | 'all' | undefined
export const exact: Filter = (text) => ({ is: text })
export const whole: Filter = (text) => (/^\d{1,9}$/.test(text) ? { is: Number(text) } : undefined)
export const pairs: Filter = (text) => {
  const wanted = metadataFilter(text)
  return wanted === undefined ? undefined : { pairs: wanted }
}

/** Below 3.2 whatever does not say false is true; from there on what says neither is refused. */
export const truth: Filter = (text, name, version) => {
  if (!version.atLeast(2)) return { is: !['', 'False', 'false', 'FALSE'].includes(text) }
  const said = truthOf(text)
  if (said === undefined) throw invalid(`Invalid input received: '${name} = ${text.slice(0, 255)}'`)
  return { is: said }
}

/** By what nothing here has. */
export const nobody: Filter = () => undefined
/** By what everything here has. */
export const unlessFalse: Filter = (text, name) => (boolParam(text, name) ? 'all' : undefined)

/** `gt:2026-11-01T00:00:00Z,lte:…`: Cinder's way to compare moments. */
export const times: Filter = (text, name) => {
  const bounds = text.split(',').map((part) => {
    const [, operator = '', time = ''] = /^([^:]*):?(.*)$/s.exec(part) ?? []
    const compare = Object.hasOwn(COMPARED, operator) ? COMPARED[operator] : undefined
    if (compare === undefined) throw invalid(`Invalid ${operator.slice(0, 255)} operator`)
    const millis = Date.parse(/(Z|[+-]\d{2}:?\d{2})$/i.test(time) ? time : `${time}Z`)
    if (!/^\d{4}-\d{2}-\d{2}T/.test(time) || Number.isNaN(millis)) throw invalid(`Invalid ${time.slice(0, 255)} value`)
    return compare(Math.min(millis * 1000, LATEST))
  })
  const [first] = bounds
  if (bounds.length === 1) return first
  if (bounds.some((bound) => 'not' in bound)) throw invalid(`Invalid ${name} value: neq stands alone`)
  const all = bounds as readonly { atLeast?: number; atMost?: number }[]
  return {
    atLeast: Math.max(...all.map(({ atLeast }) => atLeast ?? 0)),
    atMost: Math.min(...all.map(({ atMost }) => atMost ?? Number.MAX_SAFE_INTEGER)),
  }
}
/** A year no number of ours reaches is as late as can be. */
const LATEST = Number.MAX_SAFE_INTEGER - 1
const COMPARED: Readonly<Record<string, (at: number) => { atLeast?: number; atMost?: number } | { not: number }>> = {
  gt: (at) => ({ atLeast: at + 1 }),
  gte: (at) => ({ atLeast: at }),
  eq: (at) => ({ atLeast: at, atMost: at }),
  neq: (at) => ({ not: at }),
  lt: (at) => ({ atMost: at - 1 }),
  lte: (at) => ({ atMost: at }),
}

export interface ListRules<T> {
  readonly sortKeys: Readonly<Record<string, keyof T & string>>
  /** The minor version from which `name` is a sort key; `display_name` always was. */
  readonly sortsByNameSince?: number
  /** The minor version from which a member's unknown filters are refused: 31 unless told. */
  readonly strictSince?: number
  /** From 3.34 `<name>~=` asks for a part of it. */
  readonly likes?: readonly (keyof T & string)[]
  /** `since`: the minor version from which a member may use it; undefined: admins only. 'new': before, it was dropped for all. */
  readonly filters: Readonly<Record<string, readonly [field: keyof T & string, filter: Filter, since?: number, kind?: 'new']>>
}

/** What members may filter by at this version, in the words of `resource_filters`. */
export function filterNames<T>({ filters, likes = [] }: ListRules<T>, version: Version): string[] {
  const open = Object.entries(filters).flatMap(([name, [, , since]]) => (since !== undefined && version.atLeast(since) ? [name] : []))
  return version.atLeast(34) ? open.map((name) => (likes.some((like) => like === name) ? `${name}~` : name)) : open
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
  const strict = version.atLeast(rules.strictSince ?? 31)
  for (const [name, text] of search) {
    if (NOT_FILTERS.has(name) || (counts && name === 'with_count')) continue
    const like = version.atLeast(34) ? rules.likes?.find((field) => name === `${field}~`) : undefined
    const known = Object.hasOwn(rules.filters, name) ? rules.filters[name] : undefined
    const isThere = known !== undefined && (known[2] === undefined ? caller.isAdmin : version.atLeast(known[2]) || caller.isAdmin)
    const isNew = known?.[3] === 'new' && !version.atLeast(known[2] ?? 0)
    if (like !== undefined) where[like] = { contains: text }
    else if (known !== undefined && isThere && !isNew) {
      const condition = known[1](text, name, version) ?? { in: [] }
      if (condition !== 'all') where[known[0]] = condition
    } else if (isNew && !strict) continue
    else if (caller.isAdmin) where['id'] = { in: [] }
    else refused.push(name)
  }
  if (refused.length > 0 && strict) throw invalid(`Invalid filters ${refused.join(',')} are found in query options.`)
  const marker = search.get('marker')
  const query = {
    where: where as NonNullable<Query<T>['where']>,
    sort: sorting(rules, search, version),
    limit: Math.min(MAX_LIMIT, nonNegative(search.get('limit'), 'limit', 'limit param must be positive') ?? MAX_LIMIT),
    offset: nonNegative(search.get('offset'), 'offset', 'offset must be >= 0') ?? 0,
    ...(marker === null || marker === '' ? {} : { after: marker }),
  }
  const count = counts && boolParam(search.get('with_count'), 'with_count')
  return { query, allTenants: isTrue(search.get('all_tenants') ?? ''), count }
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
