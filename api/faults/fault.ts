/** What every service's renderer takes and gives. */
import { DomainError, type ErrorDetails, type ErrorKind } from '../../src/domain/errors.js'

export interface Fault {
  readonly kind: ErrorKind
  /** Set only where the kind alone does not say it (404 of an unknown URL, 405, 416, 422). */
  readonly status: number | undefined
  /** For the caller. */
  readonly sentence: string
  readonly extra: Readonly<Record<string, unknown>>
  readonly retryAfter: number | undefined
}

export interface Rendered {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The URL of the identity service, for WWW-Authenticate. */
export interface Surroundings {
  readonly identityUrl: string
}

export type Renderer = (fault: Fault, surroundings: Surroundings) => Rendered

/** An error whose status is HTTP's own affair and no kind of the domain's. */
export class WireError extends DomainError {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    sentence: string,
    details: ErrorDetails & { kind?: ErrorKind; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(details.kind ?? 'invalid', sentence, details)
    this.status = status
    this.headers = details.headers ?? {}
  }
}

/** No such URL: the renderers give it each service's own body. */
export const UNKNOWN_URL = 'The resource could not be found.'
export class UnknownUrl extends WireError {
  constructor() {
    super(404, UNKNOWN_URL, { kind: 'notFound' })
  }
}
export const isUnknownUrl = (error: unknown): boolean => error instanceof UnknownUrl

export const STATUS: Record<ErrorKind, number> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  notFound: 404,
  invalidState: 409,
  busy: 409,
  preconditionFailed: 412,
  overQuota: 403,
  tooLarge: 413,
  unsupportedMedia: 415,
  notAcceptable: 406,
  notImplemented: 501,
  unavailable: 503,
  internal: 500,
}

export const TITLE: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  409: 'Conflict',
  410: 'Gone',
  412: 'Precondition Failed',
  413: 'Request Entity Too Large',
  415: 'Unsupported Media Type',
  416: 'Requested Range Not Satisfiable',
  422: 'Unprocessable Entity',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
}

export const retryHeader = (seconds: number | undefined): Record<string, string> =>
  seconds === undefined ? {} : { 'Retry-After': String(seconds) }
export const keystoneChallenge = (uri: string): Record<string, string> => ({ 'WWW-Authenticate': `Keystone uri="${uri}"` })

/** The body of the 401 that OpenStack's shared token middleware gives for Cinder and Nova. */
export const middleware401 = (sentence: string, { identityUrl }: Surroundings): Rendered => ({
  status: 401,
  headers: { 'Content-Type': 'application/json', ...keystoneChallenge(identityUrl) },
  body: JSON.stringify({ error: { code: 401, title: 'Unauthorized', message: sentence } }),
})
