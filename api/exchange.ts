/** One request on its way through: what is known of it so far, for handlers, for the answer and for the log. */
import type { Request, Response } from 'express'
import type { Caller } from '../src/domain/caller.js'
import type { ReadBody } from './middleware/body.js'
import type { Negotiated } from './middleware/microversion.js'
import type { Variant } from './variants.js'
import type { ServiceName } from './versions.js'

export interface Exchange {
  readonly request: Request
  readonly response: Response
  readonly requestId: string
  /** The caller's own id for a chain of requests, if it is one: for the log. */
  readonly globalId: string | undefined
  readonly service: ServiceName
  readonly path: string
  readonly search: URLSearchParams
  /** Scheme and host of the URL the client used. */
  readonly asked: string
  readonly negotiated: Negotiated
  readonly startedAt: number
  variant?: Variant
  projectInUrl?: string | undefined
  body?: ReadBody
  caller?: Caller
}

export interface Finished {
  readonly requestId: string
  readonly globalId: string | undefined
  readonly service: ServiceName
  readonly operationId: string | undefined
  readonly action: string | undefined
  readonly method: string
  readonly path: string
  readonly status: number
  readonly millis: number
  readonly userId: string | undefined
  readonly projectId: string | undefined
}

/** Access log, metrics and the error log. Given no bodies and no headers: no secret can leak through here. */
export interface Observer {
  finished(entry: Finished): void
  /** A fault of ours: the error with its causes. */
  failed(error: unknown, entry: Pick<Finished, 'requestId' | 'operationId' | 'path' | 'method'>): void
  /** An answer that did not fit the contract (a 500 in production): counted apart. */
  mismatched(operationId: string, problems: string): void
}

export const SILENT: Observer = { finished: () => {}, failed: () => {}, mismatched: () => {} }
