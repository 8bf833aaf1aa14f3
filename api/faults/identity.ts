/** Keystone: `{"error": …}` without spaces; unknown URLs and methods are Flask's HTML pages. */
import { keystoneChallenge, type Renderer, retryHeader, STATUS, TITLE } from './fault.js'

export const renderIdentity: Renderer = (fault, { identityUrl }) => {
  const status = fault.status ?? STATUS[fault.kind]
  const title = TITLE[status] ?? 'Error'
  const challenge = status === 401 ? keystoneChallenge(identityUrl) : {}
  return {
    status,
    headers: { 'Content-Type': 'application/json', Vary: 'X-Auth-Token', ...challenge, ...retryHeader(fault.retryAfter) },
    body: JSON.stringify({ error: { code: status, message: fault.sentence, title, ...fault.extra } }),
  }
}

const PAGES: Record<number, string> = {
  404: 'The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.',
  405: 'The method is not allowed for the requested URL.',
}

export const identityPage = (status: 404 | 405) => ({
  status,
  headers: { 'Content-Type': 'text/html; charset=utf-8', Vary: 'X-Auth-Token' },
  body: `<!doctype html>\n<html lang=en>\n<title>${status} ${TITLE[status]}</title>\n<h1>${TITLE[status]}</h1>\n<p>${PAGES[status]}</p>\n`,
})
