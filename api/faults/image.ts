/** Glance: errors are small HTML pages; over quota is 413. What callers sent is escaped. */
import { keystoneChallenge, type Renderer, retryHeader, STATUS, TITLE } from './fault.js'

export const renderImage: Renderer = (fault, { identityUrl }) => {
  const status = fault.status ?? (fault.kind === 'overQuota' ? 413 : STATUS[fault.kind])
  const title = `${status} ${TITLE[status] ?? 'Error'}`
  const challenge = status === 401 ? keystoneChallenge(identityUrl) : {}
  return {
    status,
    headers: { 'Content-Type': 'text/html; charset=UTF-8', ...challenge, ...retryHeader(fault.retryAfter) },
    body: `<html>\n <head>\n  <title>${title}</title>\n </head>\n <body>\n  <h1>${title}</h1>\n  ${escapeHtml(fault.sentence)}<br /><br />\n\n\n </body>\n</html>`,
  }
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#x27;' }
const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char)
