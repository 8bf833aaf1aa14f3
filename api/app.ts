/**
 * The whole HTTP face: createApp(deps) gives an express application that listens nowhere, so that tests call it as it
 * is. One request: id → route → version → body → caller → role → schema → handler → answer. No input makes a 5xx.
 */
import { createHash, randomUUID } from 'node:crypto'
import express, { type Express, type Request, type Response } from 'express'
import type { Caller } from '../src/domain/caller.js'
import { DomainError } from '../src/domain/errors.js'
import type { Authenticator } from '../src/ports/identity.js'
import type { Services } from '../src/services/services.js'
import { createReply, packed, sendFault, sendReply, unpacked } from './answer.js'
import { createBackend, UNAUTHENTICATED } from './backend.js'
import type { Context, Here, OperationId, Reply } from './contract.js'
import { type Document, endpointsOf, loadDocument } from './document.js'
import { type Exchange, type Observer, SILENT } from './exchange.js'
import { UnknownUrl, WireError } from './faults/fault.js'
import { isInternal, renderError } from './faults/render.js'
import { handlers } from './generated/handlers.js'
import { readJson } from './middleware/body.js'
import { negotiate } from './middleware/microversion.js'
import { createTrie, type RoutedRequest } from './router.js'
import { mountDocs } from './ui/docs.js'
import { createVariants, jsonSchema } from './variants.js'
import type { ServiceName } from './versions.js'

export interface AppDeps {
  readonly services: Services
  /** Who holds a token; the embedded identity service unless a real Keystone is plugged in. */
  readonly authenticator?: Authenticator
  /** Base URL for catalog and links, e.g. `https://cloud.example:8780`; else the host of the request. */
  readonly publicUrl?: string | undefined
  /** express' `trust proxy`: whose X-Forwarded-* are believed. */
  readonly trustProxy?: string | boolean | undefined
  /** Largest JSON body in bytes. */
  readonly bodyLimit?: number | undefined
  readonly observe?: Observer
  /** Routes beside the contract (health, metrics), before everything else. */
  readonly mount?: (app: Express) => void
}

const BODY_LIMIT = 114_688
const OLD_COMPUTE = '/compute/v2/'
const SERVICES: readonly ServiceName[] = ['identity', 'compute', 'volume', 'image', 'strata']
const NOBODY = { userId: '', userName: '', projectId: '', projectName: '', roles: [], isAdmin: false } as const

export async function createApp(deps: AppDeps): Promise<Express> {
  const { services, observe = SILENT } = deps
  const authenticator = deps.authenticator ?? services.identity
  const document: Document = loadDocument()
  const endpoints = endpointsOf(document)
  const variants = createVariants()
  const route = createTrie(endpoints)
  const backend = await createBackend({ document, variants, authenticate: { token: byToken, doorbell: byDoorbell }, run })

  const app = express()
  app.disable('x-powered-by').disable('etag')
  app.set('trust proxy', deps.trustProxy ?? false)
  // What express answers on its own, should all else fail, has no stack in it.
  app.set('env', 'production')
  deps.mount?.(app)
  mountDocs(app, document)
  app.use((request, response) => serve(request, response))
  return app

  async function serve(request: Request, response: Response): Promise<void> {
    const exchange = open(request, response)
    try {
      await sendReply(exchange, await answer(exchange))
    } catch (error) {
      if (isInternal(error)) observe.failed(error, entry(exchange))
      sendFault(exchange, renderError(exchange.service, error, { identityUrl: `${hereOf(exchange).origin}/identity/v3` }))
    }
    observe.finished({
      ...entry(exchange),
      globalId: exchange.globalId,
      service: exchange.service,
      action: exchange.variant?.action ?? undefined,
      status: response.statusCode,
      millis: performance.now() - exchange.startedAt,
      userId: exchange.caller?.userId,
      projectId: exchange.caller?.projectId,
    })
  }

  async function answer(exchange: Exchange): Promise<Reply> {
    const { request, service, path } = exchange
    const found = route(
      request.method,
      path.length > OLD_COMPUTE.length && path.startsWith(OLD_COMPUTE) ? path.replace(OLD_COMPUTE, '/compute/v2.1/') : path,
    )
    if (found === undefined) throw new UnknownUrl()
    if ('allowed' in found) {
      if (service === 'volume' || service === 'compute') throw new UnknownUrl()
      const headers = { Allow: found.allowed.map((method) => method.toUpperCase()).join(', ') }
      throw new WireError(405, 'The method is not allowed for the requested URL.', { headers })
    }
    const { endpoint, params } = found
    exchange.projectInUrl = service === 'volume' || service === 'compute' ? params['project_id'] : undefined
    const content = endpoint.operation.requestBody?.content
    if (jsonSchema(content)) {
      exchange.body = await readJson(request, { service, types: Object.keys(content ?? {}), limit: deps.bodyLimit ?? BODY_LIMIT })
    }
    const { version } = exchange.negotiated
    exchange.variant = variants.of(endpoint, version, exchange.body?.value)
    return backend.handle(exchange, {
      method: endpoint.method,
      path,
      params: only(params, endpoint.operation.parameters),
      query: queryOf(exchange.search, endpoint.operation.parameters),
      headers: { 'content-type': 'application/json' },
      ...(exchange.body ? { body: exchange.body.value } : {}),
      variant: exchange.variant,
    })
  }

  async function run(exchange: Exchange, routed: RoutedRequest): Promise<Reply> {
    const { request, requestId, variant, caller } = exchange
    if (!variant) throw new UnknownUrl()
    const operationId = variant.endpoint.operationId as OperationId
    const handler = handlers[operationId] as (context: Context<never>) => Promise<Reply>
    const context = {
      operationId,
      path: routed.params,
      query: routed.query,
      body: exchange.body?.value,
      caller: caller ?? { ...NOBODY, requestId },
      version: exchange.negotiated.version,
      services,
      headers: request.headers,
      stream: request,
      here: hereOf(exchange),
      address: request.ip ?? '',
      reply: createReply(variant, backend.check, observe),
    } as unknown as Context<never>
    const key = request.method === 'POST' && exchange.body && caller ? request.get('idempotency-key') : undefined
    if (key === undefined || !exchange.body || !caller) return handler(context)
    if (key === '' || key.length > 255) throw new WireError(400, 'An Idempotency-Key has 1 to 255 characters.')
    const requestHash = createHash('sha256').update(`${request.method} ${request.originalUrl}\n`).update(exchange.body.raw).digest('hex')
    return services.idempotency.once(
      { caller, key, requestHash },
      () => handler(context),
      (reply) => packed(reply, variant.endpoint.operation['x-secret']),
      (earlier) => {
        if (earlier.kind === 'answer') return unpacked(earlier.answer)
        throw new WireError(422, 'This Idempotency-Key was used for another request.')
      },
    )
  }

  async function byToken({ request, requestId }: Exchange): Promise<Caller> {
    const secret = request.get('x-auth-token')
    if (!secret) throw new DomainError('unauthenticated', UNAUTHENTICATED)
    return authenticator.authenticate(secret, requestId)
  }

  /** Other processes of ours, by the secret they share; it is good for nothing but ringing. */
  async function byDoorbell({ request, requestId }: Exchange): Promise<Caller> {
    if (!services.hosts.isDoorbellSecret(request.get('x-strata-doorbell') ?? '')) throw new DomainError('unauthenticated', UNAUTHENTICATED)
    return { ...NOBODY, projectId: '-', roles: ['admin'], isAdmin: true, requestId }
  }

  function hereOf({ asked, service, path, search }: Exchange): Here {
    const origin = deps.publicUrl?.replace(/\/+$/, '') ?? asked
    return { origin, service: `${origin}/${service}`, path, search }
  }
}

function open(request: Request, response: Response): Exchange {
  const [path = '/', query = ''] = split(request.originalUrl)
  const service = SERVICES.find((name) => name === path.split('/')[1]) ?? 'strata'
  const globalId = request.get('x-openstack-request-id')
  return {
    request,
    response,
    requestId: `req-${randomUUID()}`,
    globalId: globalId !== undefined && /^req-[0-9a-f-]{36}$/.test(globalId) ? globalId : undefined,
    service,
    path,
    search: new URLSearchParams(query),
    // Now: a request whose body was not read to its end has lost its socket, and with it this.
    asked: `${request.protocol}://${request.host ?? 'localhost'}`,
    // Nova's first root takes no notice of versions: always the lowest.
    negotiated: negotiate(service, path.startsWith(OLD_COMPUTE) ? {} : request.headers),
    startedAt: performance.now(),
  }
}

const entry = ({ requestId, variant, request, path }: Exchange) => ({
  requestId,
  operationId: variant?.endpoint.operationId,
  path,
  method: request.method,
})

function split(url: string): [string, string] {
  const at = url.indexOf('?')
  return at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)]
}

type Declared =
  | readonly { readonly name: string; readonly in: string; readonly schema?: { readonly [keyword: string]: unknown } }[]
  | undefined

/** Only what is declared; of a parameter given twice the last counts, unless it is a list. */
function queryOf(search: URLSearchParams, parameters: Declared): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = {}
  for (const { name, in: place, schema } of parameters ?? []) {
    if (place !== 'query' || !search.has(name)) continue
    const values = search.getAll(name)
    query[name] = schema?.['type'] === 'array' ? values : (values.at(-1) ?? '')
  }
  return query
}

function only(params: Readonly<Record<string, string>>, parameters: Declared): Record<string, string> {
  const names = new Set((parameters ?? []).filter((parameter) => parameter.in === 'path').map((parameter) => parameter.name))
  return Object.fromEntries(Object.entries(params).filter(([name]) => names.has(name)))
}
