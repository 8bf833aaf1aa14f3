/** Nova: a wrong state is 409, over quota 403. */
import { middleware401, type Renderer, retryHeader, STATUS } from './fault.js'

const NAMES: Record<number, string> = {
  400: 'badRequest',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'itemNotFound',
  405: 'badMethod',
  409: 'conflictingRequest',
  413: 'overLimit',
  415: 'badMediaType',
  429: 'overLimit',
  501: 'notImplemented',
  503: 'serviceUnavailable',
}

export const renderCompute: Renderer = (fault, surroundings) => {
  if (fault.kind === 'unauthenticated') return middleware401(fault.sentence, surroundings)
  const status = fault.status ?? STATUS[fault.kind]
  const retry = (status === 413 || status === 429) && fault.retryAfter !== undefined ? { retryAfter: String(fault.retryAfter) } : {}
  return {
    status,
    headers: { 'Content-Type': 'application/json; charset=UTF-8', ...retryHeader(fault.retryAfter) },
    body: JSON.stringify({ [NAMES[status] ?? 'computeFault']: { code: status, message: fault.sentence, ...retry, ...fault.extra } }),
  }
}
