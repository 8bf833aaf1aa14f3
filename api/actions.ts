/** POST .../action: a `oneOf` of objects with a single key, the action's name. */
import type { Endpoint, Schema } from './document.js'

/** The members by key; undefined: not an operation with actions. */
export function actionsOf(endpoint: Endpoint): Record<string, Schema> | undefined {
  if (endpoint.method !== 'post' || !endpoint.path.endsWith('/action')) return undefined
  const members = (endpoint.operation.requestBody?.content['application/json']?.schema?.['oneOf'] ?? []) as Schema[]
  return Object.fromEntries(members.map((member) => [Object.keys((member['properties'] ?? {}) as object)[0] ?? '', member]))
}
