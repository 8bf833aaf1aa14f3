/**
 * What roles may do at all; ownership is the services' affair (a foreign id is 404 there). `reader` only looks;
 * everything that changes something needs `member` or `admin`, and operations marked x-admin need `admin`. Default: no.
 * A refusal names the rule (x-policy) as the service's own policy file does.
 */
import type { Caller } from '../../src/domain/caller.js'
import { DomainError } from '../../src/domain/errors.js'
import type { Variant } from '../variants.js'

export function checkPolicy(caller: Caller, variant: Variant): void {
  const { service, method, operationId } = variant.endpoint
  // Identity keeps its own rules per user: an unscoped token is good for the token itself and for finding projects.
  if (service === 'identity') return
  const reads = method === 'get' || method === 'head'
  const allowed = variant.needsAdmin ? caller.isAdmin : caller.roles.some((role) => ROLES.has(role) && (reads || role !== 'reader'))
  if (allowed && caller.projectId !== '') return
  throw new DomainError('forbidden', SENTENCES[service](variant.policy ?? operationId))
}

const ROLES = new Set(['admin', 'member', 'reader'])

const SENTENCES = {
  volume: (rule: string) => `Policy doesn't allow ${rule} to be performed.`,
  compute: (rule: string) => `Policy doesn't allow ${rule} to be performed.`,
  image: () => 'You are not authorized to complete this action.',
  strata: (rule: string) => `Your roles do not allow ${rule}.`,
}
