/** The one domain, and ids as Keystone makes them. */
import { randomUUID } from 'node:crypto'

export const DEFAULT_DOMAIN = { id: 'default', name: 'Default' } as const

/** No domain named means the only one there is. */
export const isDefaultDomain = (domain: { id?: string | undefined; name?: string | undefined } | undefined): boolean =>
  (domain?.id === undefined || domain.id === DEFAULT_DOMAIN.id) && (domain?.name === undefined || domain.name === DEFAULT_DOMAIN.name)

export const newId = (): string => randomUUID().replaceAll('-', '')
