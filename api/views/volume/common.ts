/** What all of Cinder's pictures share: its times, its links. */
import type { Micros } from '../../../src/domain/time.js'

/** UTC without saying so, to the microsecond. */
export const volumeTime = (at: Micros): string =>
  `${new Date(Math.floor(at / 1000)).toISOString().slice(0, 19)}.${String(at % 1_000_000).padStart(6, '0')}`

export const volumeTimeOrNull = (at: Micros | null): string | null => (at === null ? null : volumeTime(at))

/** The root of this service, and the project id if the caller's URL had one. */
export interface Place {
  readonly service: string
  readonly project: string | undefined
}

export function selfLinks({ service, project }: Place, rest: string): { href: string; rel: string }[] {
  const path = `${project === undefined || project === '' ? '' : `/${project}`}/${rest}`
  return [
    { href: `${service}/v3${path}`, rel: 'self' },
    { href: `${service}${path}`, rel: 'bookmark' },
  ]
}
