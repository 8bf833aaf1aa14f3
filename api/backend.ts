/**
 * openapi-backend between our router and our handlers. It decides the order: caller, then version and role, then the
 * schema, then the handler; so 401 comes before 400. Validators are compiled on first use, per variant.
 */
import addFormats from 'ajv-formats'
import { type Context as BackendContext, OpenAPIBackend } from 'openapi-backend'
import type { Caller } from '../src/domain/caller.js'
import { DomainError } from '../src/domain/errors.js'
import type { Reply } from './contract.js'
import type { Document } from './document.js'
import type { Exchange } from './exchange.js'
import { UnknownUrl, WireError } from './faults/fault.js'
import { type ErrorObject, schemaError } from './faults/schema-words.js'
import { checkPolicy } from './middleware/policy.js'
import { createVariantRouter, type RoutedRequest } from './router.js'
import type { Variant, Variants } from './variants.js'

export type Authenticate = (exchange: Exchange) => Promise<Caller>

export interface Backend {
  handle(exchange: Exchange, request: RoutedRequest): Promise<Reply>
  check(variant: Variant, status: number, body: unknown): string | undefined
  /** Makes the request's validators now instead of at the first request. */
  compile(variant: Variant): void
}

export interface BackendDeps {
  readonly document: Document
  readonly variants: Variants
  /** By security scheme of the contract. */
  readonly authenticate: Readonly<Record<string, Authenticate>>
  run(exchange: Exchange, request: RoutedRequest): Promise<Reply>
}

export const UNAUTHENTICATED = 'The request you have made requires authentication.'

export async function createBackend({ document, variants, authenticate, run }: BackendDeps): Promise<Backend> {
  const { openapi, info, components } = document
  const backend = new OpenAPIBackend({
    // Operations come from our router alone.
    definition: { openapi, info, paths: {}, components: { securitySchemes: components?.securitySchemes ?? {} } } as never,
    quick: true,
    strict: true,
    coerceTypes: true,
    ajvOpts: { verbose: true, strict: false },
    customizeAjv: (ajv) => {
      addFormats.default(ajv as never, ['uuid', 'date', 'uri', 'ipv4', 'ipv6'])
      ajv.addFormat('binary', true)
      return ajv
    },
  })
  await backend.init()
  const router = createVariantRouter(variants.byId)
  Object.assign(backend, { router })
  Object.assign(backend.validator, { router })

  for (const [scheme, ask] of Object.entries(authenticate)) {
    backend.registerSecurityHandler(scheme, async (_context: BackendContext, exchange: Exchange) => {
      exchange.caller = await ask(exchange)
      return exchange.caller
    })
  }
  backend.register('postSecurityHandler', (context: BackendContext, exchange: Exchange) => admit(context, exchange))
  backend.register('validationFail', (context: BackendContext, exchange: Exchange) => {
    throw schemaError(exchange.service, exchange.variant?.endpoint.operationId ?? '', (context.validation.errors ?? []) as ErrorObject[])
  })
  backend.register('notImplemented', (context: BackendContext, exchange: Exchange) =>
    run(exchange, context.request as unknown as RoutedRequest),
  )

  return {
    compile: (variant) => void backend.validator.getRequestValidatorsForOperation(variant.id),
    handle: (exchange, request) => backend.handleRequest(request as never, exchange) as Promise<Reply>,
    check(variant, status, body) {
      const { errors } = backend.validateResponse(body, variant.operation as never, status)
      return errors?.map((error) => `${error.instancePath || '/'} ${error.message} ${JSON.stringify(error.params)}`).join('; ')
    },
  }
}

/** Everything that must hold before the request's content is looked at. */
function admit(context: BackendContext, exchange: Exchange): void {
  const { variant, caller } = exchange
  if (!variant) throw new UnknownUrl()
  if (!variant.endpoint.isPublic) {
    if (!context.security?.['authorized'] || !caller) throw refusal(context)
    if (exchange.negotiated.error) throw exchange.negotiated.error
    checkProject(exchange, caller)
  } else if (exchange.negotiated.error) throw exchange.negotiated.error
  if (!variant.exists) throw new DomainError('notFound', 'The resource could not be found.')
  if (exchange.body?.error) throw exchange.body.error
  if (variant.action === null) throw new DomainError('invalid', unknownAction(exchange))
  if (caller) checkPolicy(caller, variant)
}

/** A token that is no good is 401; an identity service that cannot be asked is not. */
function refusal(context: BackendContext): unknown {
  const errors = Object.values(context.security ?? {}).map((result) => (result as { error?: unknown } | undefined)?.error)
  const other = errors.find((error) => error !== undefined && !(error instanceof DomainError && error.kind === 'unauthenticated'))
  return other ?? new DomainError('unauthenticated', UNAUTHENTICATED)
}

function checkProject({ projectInUrl, service }: Exchange, caller: Caller): void {
  if (projectInUrl === undefined || projectInUrl === caller.projectId) return
  if (!/^[0-9a-f-]+$/.test(projectInUrl)) throw new UnknownUrl()
  const sentence =
    service === 'volume'
      ? 'Malformed request url'
      : `Malformed request URL: URL's project_id '${projectInUrl}' doesn't match Context's project_id '${caller.projectId}'`
  throw new WireError(400, sentence)
}

function unknownAction({ service, body }: Exchange): string {
  const [name] = Object.keys((body?.value ?? {}) as object)
  const shown = name?.slice(0, 255)
  if (service === 'volume') {
    return shown === undefined
      ? 'Malformed request body'
      : `There is no such action: ${shown}. Verify the request body and Content-Type header and try again.`
  }
  return shown === undefined ? 'Malformed request body' : `There is no such action: ${shown}`
}
