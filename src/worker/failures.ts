/**
 * What may go wrong in a run besides what adapters report, how it is told (a sentence for the user, the causes for the
 * operator), and whether it is a failure at all or a wait for something that passes.
 */
import { AdapterError, DomainError, NeedsAttention } from '../domain/errors.js'
import type { JobError } from '../domain/job.js'
import { AWAY, REASONS, type Reason } from '../domain/reasons.js'
import { LeaseLost } from '../ports/stores.js'

export class Cancelled extends Error {}
/** Not done and not to be undone: try again later. */
export class TryLater extends Error {}

/** Tables that cannot be written say nothing of the world: nothing is undone for that. */
export function unwritten(cause: unknown): never {
  if (cause instanceof LeaseLost || cause instanceof NeedsAttention) throw cause
  throw new TryLater('cannot write', {
    cause: new AdapterError('unknown', 'the tables could not be written', { cause, reason: 'unwritable' }),
  })
}

export function say(error: unknown): JobError {
  const lines = causes(error).map((e) => (e instanceof Error ? `${e.name}: ${e.message}` : String(e)))
  return { message: sentenceOf(error), detail: lines.join('; ') }
}

/** It could not be asked: it is not there now, and may be later. */
export const isAway = (error: unknown): boolean =>
  causes(error).some((e) => e instanceof AdapterError && (e.outcome === 'unavailable' || (e.reason !== undefined && AWAY.has(e.reason))))

/** What ends when somebody mounts, continues or makes room: nothing else could be done about it than to wait. */
export const passes = (error: unknown): boolean =>
  isAway(error) || causes(error).some((e) => e instanceof AdapterError && e.reason === 'no-space')

function sentenceOf(error: unknown): string {
  if (error instanceof Cancelled) return 'The operation was cancelled.'
  if (error instanceof DomainError || error instanceof NeedsAttention) return error.message
  const reason = causes(error).find(
    (e): e is AdapterError & { reason: Reason } => e instanceof AdapterError && e.reason !== undefined,
  )?.reason
  return reason === undefined ? 'The operation could not be completed.' : REASONS[reason]
}

function causes(error: unknown): unknown[] {
  const found: unknown[] = []
  for (let e = error; e !== undefined && found.length < 6; e = e instanceof Error ? e.cause : undefined) found.push(e)
  return found
}
