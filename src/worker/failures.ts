/** What may go wrong in a run besides what adapters report, and how it is told: a sentence for the user, the causes for the operator. */
import { DomainError, NeedsAttention } from '../domain/errors.js'
import type { JobError } from '../domain/job.js'
import { LeaseLost } from '../ports/stores.js'

export class Cancelled extends Error {}
/** Not done and not to be undone: try again later. */
export class TryLater extends Error {}

/** Tables that cannot be written say nothing of the world: nothing is undone for that. */
export function unwritten(cause: unknown): never {
  throw cause instanceof LeaseLost || cause instanceof NeedsAttention ? cause : new TryLater('cannot write', { cause })
}

export function say(error: unknown): JobError {
  const lines: string[] = []
  for (let e: unknown = error; e !== undefined && lines.length < 6; e = e instanceof Error ? e.cause : undefined) {
    lines.push(e instanceof Error ? `${e.name}: ${e.message}` : String(e))
  }
  return { message: sentenceOf(error), detail: lines.join('; ') }
}

function sentenceOf(error: unknown): string {
  if (error instanceof Cancelled) return 'The operation was cancelled.'
  const known = error instanceof DomainError || error instanceof NeedsAttention
  return known ? error.message : 'The operation could not be completed.'
}
