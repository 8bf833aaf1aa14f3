/**
 * `reply`: an answer checked against the contract when it is built, and its way onto the wire with each service's
 * headers. A mismatch is our fault and ends the request (500, counted), before its transaction commits.
 */
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { noteAnswer } from '../src/services/idempotency.js'
import type { Reply } from './contract.js'
import type { Exchange, Observer } from './exchange.js'
import type { Rendered } from './faults/fault.js'
import { versionHeaders } from './middleware/microversion.js'
import type { Variant } from './variants.js'

export class ContractMismatch extends Error {
  constructor(operationId: string, problems: string) {
    super(`the answer of ${operationId} does not fit the contract: ${problems}`)
    this.name = 'ContractMismatch'
  }
}

/** Checks a body against the schema of one variant and status; undefined: it fits. */
export type ReplyCheck = (variant: Variant, status: number, body: unknown) => string | undefined

export function createReply(variant: Variant, check: ReplyCheck, observer: Observer) {
  return (status: number, body?: unknown, headers: Readonly<Record<string, string>> = {}): Reply => {
    const { operationId, operation } = variant.endpoint
    const declared = operation.responses[String(status)]
    const problem =
      declared === undefined
        ? `status ${status} is not declared`
        : // Of actions that share an endpoint some answer with a body and some without.
          (body === undefined) !== (declared.content === undefined) && !(body === undefined && variant.action)
          ? `status ${status} ${body === undefined ? 'needs' : 'has no'} body`
          : body instanceof Readable || body === undefined
            ? undefined
            : check(variant, status, body)
    if (problem !== undefined) {
      observer.mismatched(operationId, problem)
      throw new ContractMismatch(operationId, problem)
    }
    if (!(body instanceof Readable)) noteAnswer(() => packed({ status, headers, body }, operation['x-secret']))
    return { status, headers, body }
  }
}

/** An answer as a row keeps it, without what is told once, and back. */
export const packed = (reply: Reply, secrets: readonly string[] = []): { status: number; response: string } => ({
  status: reply.status,
  response: JSON.stringify({ headers: reply.headers, body: secrets.reduce((body, path) => without(body, path.split('.')), reply.body) }),
})
function without(body: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined || typeof body !== 'object' || body === null || !Object.hasOwn(body, name)) return body
  const { [name]: inner, ...others } = body as Record<string, unknown>
  return rest.length === 0 ? others : { ...body, [name]: without(inner, rest) }
}
export const unpacked = (answer: { status: number; response: string }): Reply => {
  const { headers, body } = JSON.parse(answer.response) as Pick<Reply, 'headers' | 'body'>
  return { status: answer.status, headers, body }
}

export async function sendReply(exchange: Exchange, reply: Reply): Promise<void> {
  const { response, service, negotiated } = exchange
  commonHeaders(exchange)
  setAll(response, versionHeaders(service, negotiated.version))
  if (exchange.request.get('idempotency-key') !== undefined && exchange.request.method === 'POST')
    response.setHeader('Idempotency-Key', exchange.request.get('idempotency-key') ?? '')
  response.statusCode = reply.status
  if (reply.body instanceof Readable) {
    setAll(response, { 'Content-Type': 'application/octet-stream', ...reply.headers })
    return sendStream(exchange, reply.body)
  }
  if (reply.body === undefined) {
    const type = emptyType(exchange, reply.status)
    if (type !== undefined) response.setHeader('Content-Type', type)
    // Cinder's controllers that answer without a body lose this header on the way; its actions do not.
    if (service === 'volume' && type !== 'application/json') response.removeHeader('x-compute-request-id')
    setAll(response, reply.headers)
    response.end()
    return
  }
  setAll(response, { 'Content-Type': 'application/json', ...reply.headers })
  response.end(JSON.stringify(reply.body))
}

export function sendFault(exchange: Exchange, fault: Rendered): void {
  const { response, service, negotiated } = exchange
  if (response.headersSent) return void response.destroy()
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  commonHeaders(exchange)
  // A URL nobody serves has no controller, so nothing that speaks of versions; neither has a refused token.
  if (exchange.variant !== undefined && fault.status !== 401) setAll(response, versionHeaders(service, negotiated.version))
  setAll(response, fault.headers)
  response.statusCode = fault.status
  response.end(fault.body)
}

function commonHeaders({ response, service, requestId, variant }: Exchange): void {
  response.setHeader('x-openstack-request-id', requestId)
  if (service === 'compute' || (service === 'volume' && variant !== undefined)) response.setHeader('x-compute-request-id', requestId)
  if (service === 'identity') response.setHeader('Vary', 'X-Auth-Token')
}

function emptyType({ service, path }: Exchange, status: number): string | undefined {
  if (status === 204 || status === 304) return undefined
  if (service === 'volume') return path.endsWith('/action') ? 'application/json' : 'text/html; charset=UTF-8'
  return service === 'compute' ? 'text/html; charset=UTF-8' : undefined
}

async function sendStream({ request, response }: Exchange, body: Readable): Promise<void> {
  if (request.method === 'HEAD') {
    body.destroy()
    response.end()
    return
  }
  // The status is sent: a source that breaks can only be told by breaking the connection, and a client may leave.
  await pipeline(body, response).catch(() => response.destroy())
}

function setAll(response: ServerResponse, headers: Readonly<Record<string, string | readonly string[]>>): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
}
