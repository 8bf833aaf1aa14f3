/** Links and dates as Nova writes them. */
import type { Micros } from '../../../src/domain/time.js'
import type { Here } from '../../contract.js'

export interface Link {
  rel: string
  href: string
}

/** A resource by version, and without it. */
export const resourceLinks = (here: Here, collection: string, id: string): Link[] => [
  { rel: 'self', href: `${here.service}/v2.1/${collection}/${id}` },
  bookmark(here, collection, id),
]

export const bookmark = (here: Here, collection: string, id: string): Link => ({
  rel: 'bookmark',
  href: `${here.service}/${collection}/${id}`,
})

/** To the next page, after a full one: every query parameter again, the marker last. */
export function nextLink(here: Here, page: readonly { id: string }[], limit: number): Link[] | undefined {
  const last = page.at(-1)
  if (last === undefined || page.length < limit) return undefined
  const search = new URLSearchParams(here.search)
  search.delete('marker')
  search.append('marker', last.id)
  return [{ rel: 'next', href: `${here.origin}${here.path}?${search}` }]
}

/** `2026-11-20T16:09:15Z` */
export const seconds = (at: Micros): string => `${new Date(at / 1000).toISOString().slice(0, 19)}Z`

/** `2026-11-20T16:09:15.000000`, as fields do that Nova copies from its database. */
export const naive = (at: Micros): string => `${new Date(at / 1000).toISOString().slice(0, 19)}.${String(at % 1_000_000).padStart(6, '0')}`
