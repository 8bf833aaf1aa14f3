/**
 * The bundled contract, dereferenced: what the router, the validators and /openapi.json read. Refs are resolved once;
 * the result shares objects and has no cycles (the contract allows none).
 */
import { documentText } from './generated/document.js'
import type { ServiceName } from './versions.js'

export type Schema = { [keyword: string]: unknown }
export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header' | 'cookie'
  readonly required?: boolean
  readonly schema?: Schema
  readonly 'x-min-version'?: string
  readonly 'x-max-version'?: string
}
export interface Operation {
  readonly operationId: string
  readonly summary?: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly required?: boolean; readonly content: Readonly<Record<string, { readonly schema?: Schema }>> }
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> }>>
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
  readonly 'x-min-version'?: string
  readonly 'x-max-version'?: string
  readonly 'x-admin'?: boolean
  readonly 'x-policy'?: string
  /** Fields of the answer that are told once: `keypair.private_key`. */
  readonly 'x-secret'?: readonly string[]
}
export interface Document {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string }
  readonly security?: Operation['security']
  readonly components?: { readonly securitySchemes?: Readonly<Record<string, unknown>> }
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

export const METHODS = ['get', 'put', 'post', 'delete', 'patch', 'head'] as const
export type Method = (typeof METHODS)[number]

/** One operation of the document with where it stands. */
export interface Endpoint {
  readonly operationId: string
  readonly service: ServiceName
  readonly method: Method
  readonly path: string
  readonly operation: Operation
  /** May it be called without a token? */
  readonly isPublic: boolean
}

export function loadDocument(): Document {
  const raw = JSON.parse(documentText) as Document
  const resolved = new Map<string, unknown>()
  const at = (pointer: string): unknown => {
    if (!resolved.has(pointer)) {
      const keys = pointer
        .slice(2)
        .split('/')
        .map((key) => decodeURIComponent(key).replaceAll('~1', '/').replaceAll('~0', '~'))
      const target = keys.reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], raw)
      if (target === undefined) throw new TypeError(`the contract refers to ${pointer}, which does not exist`)
      resolved.set(pointer, deref(target))
    }
    return resolved.get(pointer)
  }
  const deref = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(deref)
    if (typeof node !== 'object' || node === null) return node
    const ref = (node as { $ref?: unknown }).$ref
    if (typeof ref === 'string') return at(ref)
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, deref(value)]))
  }
  return deref(raw) as Document
}

export function endpointsOf(document: Document): Endpoint[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method] !== undefined).map((method) => {
      const own = item[method] as Operation
      const shared = (item['parameters'] ?? []) as readonly Parameter[]
      const operation: Operation = {
        ...own,
        parameters: [...(own.parameters ?? []), ...shared],
        security: own.security ?? document.security ?? [],
      }
      const isPublic = operation.security?.length === 0
      return { operationId: own.operationId, service: path.split('/')[1] as ServiceName, method, path, operation, isPublic }
    }),
  )
}
