/**
 * From the contract's operations to the functions that serve them. A handler's types follow from its operationId:
 *
 *   export const createSnapshot: Handler<'createSnapshot'> = async ({ body, caller, services, reply }) =>
 *     services.volume.createSnapshot(caller, input(body.snapshot), (snapshot) => reply(202, { snapshot: snapshotView(snapshot) }))
 *
 * `reply` accepts only statuses the contract declares, with that status's body; it validates what it is given against
 * the schema of the request's microversion, at once, so inside the accepting transaction when called from there.
 * Failures are thrown (`DomainError`), never replied. A missing handler does not compile (`Handlers`).
 *
 * POST .../action: the body is a `oneOf` of objects with a single key; `actions<'serverAction'>({ ... })` takes one
 * typed function per key. The router has picked the member and validated against it alone; an unknown action never
 * gets here.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { Caller } from '../src/domain/caller.js'
import type { Services } from '../src/services/services.js'
import type { operations } from './generated/openapi.js'
import type { Version } from './versions.js'

export type { Caller, Services, Version }
export type OperationId = keyof operations

type Parameters<K extends OperationId> = operations[K]['parameters']
type Content<R> = R extends { content: infer C } ? C : never
type Json<C> = { [M in keyof C]: M extends `${string}json${string}` ? C[M] : never }[keyof C]
type Binary<C> = { [M in keyof C]: M extends `${string}json${string}` ? never : Readable }[keyof C]

export type Path<K extends OperationId> = Parameters<K> extends { path: infer P } ? P : Record<never, never>
export type Query<K extends OperationId> = Parameters<K> extends { query?: infer Q } ? NonNullable<Q> : Record<never, never>
export type Body<K extends OperationId> = operations[K] extends { requestBody: infer R }
  ? Json<Content<R>>
  : operations[K] extends { requestBody?: infer R }
    ? Json<Content<NonNullable<R>>> | undefined
    : undefined

export type Status<K extends OperationId> = keyof operations[K]['responses'] & number
type ResponseOf<K extends OperationId, S extends Status<K>> = operations[K]['responses'][S]
export type ReplyBody<K extends OperationId, S extends Status<K>> = [Content<ResponseOf<K, S>>] extends [never]
  ? undefined
  : Json<Content<ResponseOf<K, S>>> | Binary<Content<ResponseOf<K, S>>>

/** An answer, already validated: only `reply` makes one. */
export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
}

export type ReplyWith<K extends OperationId> = <S extends Status<K>>(
  status: S,
  ...rest: ReplyBody<K, S> extends undefined
    ? [body?: undefined, headers?: Readonly<Record<string, string>>]
    : [body: ReplyBody<K, S>, headers?: Readonly<Record<string, string>>]
) => Reply

/** Where links of an answer point to. */
export interface Here {
  /** `http://host` or the configured public URL: no trailing slash. */
  readonly origin: string
  /** `<origin>/volume`, `<origin>/compute`, …: the root of this service. */
  readonly service: string
  /** Path as the caller wrote it, without the query, e.g. `/volume/v3/<project>/snapshots/detail`. */
  readonly path: string
  /** Every query parameter as it came, in order; unknown ones included. */
  readonly search: URLSearchParams
}

export interface Context<K extends OperationId> {
  readonly operationId: K
  readonly path: Path<K>
  /** Declared parameters, coerced to their type. Undeclared ones are tolerated and found in `here.search`. */
  readonly query: Query<K>
  readonly body: Body<K>
  /** Of a public operation: nobody (empty ids). */
  readonly caller: Caller
  readonly version: Version
  readonly services: Services
  readonly headers: IncomingHttpHeaders
  /** The request's bytes, for operations whose body is not JSON. */
  readonly stream: Readable
  readonly here: Here
  /** Of the client: the peer's, or what a trusted proxy says. */
  readonly address: string
  readonly reply: ReplyWith<K>
}

export type Handler<K extends OperationId> = (context: Context<K>) => Promise<Reply>
export type Handlers = { readonly [K in OperationId]: Handler<K> }

type Keys<U> = U extends unknown ? keyof U & string : never
type Value<U, A extends string> = U extends { [P in A]: infer V } ? V : never
export type ActionName<K extends OperationId> = Keys<Body<K>>
/** Of actions that share an endpoint some answer with a body and some without. */
export type ActionReplyWith<K extends OperationId> = <S extends Status<K>>(
  status: S,
  body?: ReplyBody<K, S>,
  headers?: Readonly<Record<string, string>>,
) => Reply
export type ActionContext<K extends OperationId, A extends ActionName<K>> = Omit<Context<K>, 'reply'> & {
  readonly reply: ActionReplyWith<K>
  readonly action: A
  /** What stands under the action's key. */
  readonly input: Value<Body<K>, A>
}
export type ActionHandler<K extends OperationId, A extends ActionName<K>> = (context: ActionContext<K, A>) => Promise<Reply>
export type ActionHandlers<K extends OperationId> = { readonly [A in ActionName<K>]: ActionHandler<K, A> }

export function actions<K extends OperationId>(handlers: ActionHandlers<K>): Handler<K> {
  const table = handlers as Readonly<Record<string, (context: unknown) => Promise<Reply>>>
  return async (context) => {
    const [action = '', input] = Object.entries(context.body as unknown as object)[0] ?? []
    const handler = table[action]
    if (handler === undefined) throw new TypeError(`no handler of action ${action} of ${context.operationId}`)
    return handler({ ...context, action, input })
  }
}
