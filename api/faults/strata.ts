/** Our own: `{"error": {"code", "kind", "message", …}}`, the kind for programs, the message for people. */
import { type Renderer, retryHeader, STATUS } from './fault.js'

export const renderStrata: Renderer = (fault) => {
  const status = fault.status ?? STATUS[fault.kind]
  return {
    status,
    headers: { 'Content-Type': 'application/json', ...retryHeader(fault.retryAfter) },
    body: JSON.stringify({ error: { code: status, kind: fault.kind, message: fault.sentence, ...fault.extra } }),
  }
}
