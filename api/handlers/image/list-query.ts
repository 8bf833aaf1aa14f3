/** The query of an image list: paging, sorting, and filters on any attribute or custom property. */
import { DomainError } from '../../../src/domain/errors.js'
import type { Image } from '../../../src/domain/image.js'
import type { Condition } from '../../../src/ports/stores.js'
import type { ImageList } from '../../../src/services/image/images.js'

const DEFAULT_LIMIT = 25
const MAX_LIMIT = 1000

const invalid = (sentence: string): DomainError => new DomainError('invalid', sentence)

const SORT_KEYS: Readonly<Record<string, keyof Image & string>> = {
  name: 'name',
  status: 'status',
  container_format: 'containerFormat',
  disk_format: 'diskFormat',
  size: 'size',
  id: 'id',
  created_at: 'createdAt',
  updated_at: 'updatedAt',
}

type Filter = (text: string, name: string) => Condition
const several: Filter = (text) => (text.startsWith('in:') ? { in: listed(text.slice(3)) } : { is: text })
const exact: Filter = (text) => ({ is: text })
const whole: Filter = (text, name) => ({ is: integer(text, name) })

const FILTERS: Readonly<Record<string, readonly [keyof Image & string, Filter]>> = {
  id: ['id', several],
  name: ['name', several],
  status: ['status', several],
  container_format: ['containerFormat', several],
  disk_format: ['diskFormat', several],
  owner: ['projectId', exact],
  checksum: ['checksum', exact],
  os_hash_value: ['hashValue', exact],
  os_hash_algo: ['hashAlgo', exact],
  size: ['size', whole],
  min_disk: ['minDisk', whole],
  min_ram: ['minRam', whole],
  size_min: ['size', (text) => ({ atLeast: integer(text, 'size_min') })],
  size_max: ['size', (text) => ({ atMost: integer(text, 'size_max') })],
  protected: ['protected', (text) => ({ is: boolean(text, 'protected') })],
  os_hidden: ['hidden', (text) => ({ is: boolean(text, 'os_hidden') })],
  created_at: ['createdAt', moment],
  updated_at: ['updatedAt', moment],
}
const NOT_FILTERS = new Set(['limit', 'marker', 'sort', 'sort_key', 'sort_dir', 'tag', 'visibility', 'member_status'])
const VISIBILITIES = ['community', 'public', 'private', 'shared', 'all'] as const
const MEMBER_STATUSES = ['pending', 'accepted', 'rejected', 'all'] as const

export function listOf(search: URLSearchParams): ImageList {
  const where: Record<string, Condition> = { hidden: { is: false } }
  const properties: Record<string, string> = {}
  for (const [name, text] of search) {
    if (NOT_FILTERS.has(name)) continue
    const filter = FILTERS[name]
    if (filter === undefined) properties[name] = text
    else where[filter[0]] = { ...(name.startsWith('size_') ? where[filter[0]] : {}), ...filter[1](text, name) }
  }
  const marker = search.get('marker')
  const visibility = search.get('visibility')
  const memberStatus = search.get('member_status')
  return {
    where,
    properties,
    sort: sorting(search),
    limit: limitOf(search.get('limit')),
    tags: search.getAll('tag'),
    ...(marker === null ? {} : { marker }),
    ...(visibility === null ? {} : { visibility: among(visibility, VISIBILITIES, 'visibility') }),
    ...(memberStatus === null ? {} : { memberStatus: among(memberStatus, MEMBER_STATUSES, 'status') }),
  }
}

/** Relative, as Glance has them: clients put them behind the endpoint. */
export function pageLinks(search: URLSearchParams, marker: string | undefined): { first: string; next?: string } {
  const rest = new URLSearchParams(search)
  rest.delete('marker')
  const link = (query: URLSearchParams): string => (query.size === 0 ? '/v2/images' : `/v2/images?${query}`)
  const first = link(rest)
  if (marker === undefined) return { first }
  rest.append('marker', marker)
  return { first, next: link(rest) }
}

function limitOf(text: string | null): number {
  if (text === null) return DEFAULT_LIMIT
  if (!/^[+-]?\d+$/.test(text)) throw invalid('limit param must be an integer')
  if (Number(text) < 0) throw invalid('limit param must be positive')
  return Math.min(MAX_LIMIT, Number(text))
}

function sorting(search: URLSearchParams): ImageList['sort'] {
  const short = search.get('sort')
  const keys = search.getAll('sort_key')
  const dirs = search.getAll('sort_dir')
  if (short !== null && keys.length + dirs.length > 0) throw invalid('Old and new sorting syntax cannot be combined')
  if (short !== null)
    return short.split(',').map((part) => {
      const [key = '', dir = 'desc', ...more] = part.trim().split(':')
      if (more.length > 0) throw invalid(`Invalid sort parameter: ${part}`)
      return { key: sortKey(key), dir: among(dir, ['asc', 'desc'] as const, 'sort direction') }
    })
  if (keys.length === 0) keys.push('created_at')
  if (dirs.length > 1 && dirs.length !== keys.length) throw invalid('Number of sort dirs does not match the number of sort keys')
  return keys.map((key, index) => ({
    key: sortKey(key),
    dir: among(dirs[index] ?? dirs[0] ?? 'desc', ['asc', 'desc'] as const, 'sort direction'),
  }))
}

function sortKey(key: string): keyof Image & string {
  const field = Object.hasOwn(SORT_KEYS, key) ? SORT_KEYS[key] : undefined
  if (field === undefined) throw invalid(`Invalid sort key: ${key}. It must be one of the following: ${Object.keys(SORT_KEYS).join(', ')}.`)
  return field
}

function among<T extends string>(text: string, allowed: readonly T[], what: string): T {
  const found = allowed.find((one) => one === text)
  if (found === undefined) throw invalid(`Invalid ${what}: ${text}. Must be one of: ${allowed.join(', ')}`)
  return found
}

function integer(text: string, name: string): number {
  if (!/^\d+$/.test(text)) throw invalid(`Filter ${name} must be an integer greater than or equal to zero.`)
  return Number(text)
}

function boolean(text: string, name: string): boolean {
  const lower = text.toLowerCase()
  if (!['true', 'false'].includes(lower))
    throw invalid(`Invalid value '${text}' for '${name}' filter. Valid values are case insensitive 'true' or 'false'.`)
  return lower === 'true'
}

/** `a,"b,c",d`: a quoted value may hold commas. */
function listed(text: string): string[] {
  const values = text.match(/"[^"]*"|[^,]+/g) ?? []
  if (values.length === 0) throw invalid(`Invalid filter value ${text}.`)
  return values.map((value) => value.replace(/^"|"$/g, ''))
}

/** Dates are seconds on the wire and microseconds inside: a second is a range. */
function moment(text: string, name: string): Condition {
  const [, operator = 'eq', value = ''] = /^(?:(gt|gte|lt|lte|eq|neq):)?(.+)$/.exec(text) ?? []
  const at = Date.parse(/[zZ]|[+-]\d\d:?\d\d$/.test(value) ? value : `${value}Z`) * 1000
  if (Number.isNaN(at)) throw invalid(`Invalid time format for ${name}.`)
  const next = at + 1_000_000
  switch (operator) {
    case 'gt':
      return { atLeast: next }
    case 'gte':
      return { atLeast: at }
    case 'lt':
      return { atMost: at - 1 }
    case 'lte':
      return { atMost: next - 1 }
    case 'neq':
      return { not: at }
    default:
      return { atLeast: at, atMost: next - 1 }
  }
}
