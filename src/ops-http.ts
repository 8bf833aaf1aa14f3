/**
 * What operators' machines ask: /healthz (the process answers), /readyz (it can do its work), /metrics. Beside the
 * contract, without authentication, and without anything a tenant could not know. A worker without an API serves only
 * these, and its doorbell.
 */
import { timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Metrics } from './metrics.js'

export interface Readiness {
  readonly ready: boolean
  readonly checks: Readonly<Record<string, string>>
}

export interface OpsDeps {
  readonly metrics: Metrics
  readonly readiness: () => Promise<Readiness>
}

/** False: not one of these URLs. */
export function createOps({ metrics, readiness }: OpsDeps) {
  return (request: IncomingMessage, response: ServerResponse): boolean => {
    const path = (request.url ?? '').split('?')[0]
    if (path !== '/healthz' && path !== '/readyz' && path !== '/metrics') return false
    void answer(path).catch(() => send(503, 'text/plain; charset=utf-8', 'not available\n'))
    return true

    async function answer(asked: '/healthz' | '/readyz' | '/metrics'): Promise<void> {
      if (request.method !== 'GET' && request.method !== 'HEAD') return send(405, 'text/plain; charset=utf-8', 'method not allowed\n')
      if (asked === '/healthz') return send(200, 'application/json', '{"status":"ok"}')
      if (asked === '/metrics') {
        const { contentType, text } = await metrics.render()
        return send(200, contentType, text)
      }
      const { ready, checks } = await readiness()
      send(ready ? 200 : 503, 'application/json', JSON.stringify({ status: ready ? 'ready' : 'not ready', checks }))
    }

    function send(status: number, type: string, text: string): void {
      if (response.headersSent) return
      response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text), 'Cache-Control': 'no-store' })
      response.end(request.method === 'HEAD' ? undefined : text)
    }
  }
}

/** The doorbell of a worker without an API: POST with the shared secret, nothing else. */
export function createBell(options: { secret: string | undefined; ring: () => void }) {
  const right = Buffer.from(options.secret ?? '')
  return (request: IncomingMessage, response: ServerResponse): void => {
    request.resume()
    const given = Buffer.from(String(request.headers['x-strata-doorbell'] ?? ''))
    const known = right.length > 0 && given.length === right.length && timingSafeEqual(given, right)
    const isBell = request.method === 'POST' && request.url === '/strata/v1/doorbell'
    if (isBell && known) options.ring()
    response.writeHead(isBell ? (known ? 202 : 401) : 404).end()
  }
}
