/** Cinder: a wrong state is 400, over quota 413 with Retry-After 0; every code without a name is `computeFault`. */
import { middleware401, type Renderer, retryHeader, STATUS, UNKNOWN_URL } from './fault.js'

const NAMES: Record<number, string> = {
  400: 'badRequest',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'itemNotFound',
  405: 'badMethod',
  409: 'conflictingRequest',
  413: 'overLimit',
  415: 'badMediaType',
  501: 'notImplemented',
  503: 'serviceUnavailable',
}

export const renderVolume: Renderer = (fault, surroundings) => {
  if (fault.kind === 'unauthenticated') return middleware401(fault.sentence, surroundings)
  const status = fault.status ?? (fault.kind === 'invalidState' ? 400 : fault.kind === 'overQuota' ? 413 : STATUS[fault.kind])
  const retryAfter = fault.retryAfter ?? (fault.kind === 'overQuota' ? 0 : undefined)
  const retry = status === 413 && retryAfter !== undefined ? { retryAfter: String(retryAfter) } : {}
  return {
    status,
    headers: { 'Content-Type': 'application/json', ...retryHeader(retryAfter) },
    body: JSON.stringify({ [NAMES[status] ?? 'computeFault']: { code: status, message: fault.sentence, ...retry, ...fault.extra } }),
  }
}

/** An unknown URL never reaches a controller: no fault envelope, and its code is text. */
export const unknownVolumeUrl = {
  status: 404,
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({ message: `${UNKNOWN_URL}<br /><br />\n\n\n`, code: '404 Not Found', title: 'Not Found' }),
}
