/**
 * The two families of failure.
 *
 * A `DomainError` is an answer to a caller: a kind from a closed list (the API maps kind x service to a
 * status) and a public sentence in the words of that OpenStack service. No host path, no secret in it;
 * the private reason travels in `cause`.
 *
 * An adapter (QEMU, agent, file tool) reduces every failure to one of three outcomes, because recovery
 * needs to know only this: `Refused` it said no, certainly not done; `Unknown` lost in flight, so probe;
 * `Unavailable` never sent. Never decide by the text of a message.
 */
import type { Reason } from './reasons.js'

export type ErrorKind =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'notFound'
  | 'invalidState'
  | 'busy'
  | 'preconditionFailed'
  | 'overQuota'
  | 'tooLarge'
  | 'unsupportedMedia'
  | 'notAcceptable'
  | 'notImplemented'
  | 'unavailable'
  | 'internal'

export interface ErrorDetails {
  readonly cause?: unknown
  /** Machine-readable extras for the response, e.g. the holder of a lock (N-20). */
  readonly extra?: Readonly<Record<string, unknown>>
  /** Seconds, where the wire format has a Retry-After. */
  readonly retryAfter?: number
}

export class DomainError extends Error {
  readonly kind: ErrorKind
  readonly extra: Readonly<Record<string, unknown>>
  readonly retryAfter: number | undefined

  constructor(kind: ErrorKind, sentence: string, details: ErrorDetails = {}) {
    super(sentence, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'DomainError'
    this.kind = kind
    this.extra = details.extra ?? {}
    this.retryAfter = details.retryAfter
  }
}

export interface AdapterDetails {
  readonly code?: string
  readonly reason?: Reason
  readonly cause?: unknown
}

export type Outcome = 'refused' | 'unknown' | 'unavailable'

export class AdapterError extends Error {
  readonly outcome: Outcome
  /** The counterpart's error class where it has one (QMP's `class`, a tool's exit code). */
  readonly code: string | undefined
  /** What of it may be told to the user. */
  readonly reason: Reason | undefined

  constructor(outcome: Outcome, message: string, options: AdapterDetails = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = `AdapterError(${outcome})`
    this.outcome = outcome
    this.code = options.code
    this.reason = options.reason
  }
}

export const refused = (message: string, options?: AdapterDetails): AdapterError => new AdapterError('refused', message, options)
export const unknown = (message: string, options?: AdapterDetails): AdapterError => new AdapterError('unknown', message, options)
export const unavailable = (message: string, options?: AdapterDetails): AdapterError => new AdapterError('unavailable', message, options)

/** Something only a person can decide: the job stops, keeps its locks and all evidence. */
export class NeedsAttention extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'NeedsAttention'
  }
}
