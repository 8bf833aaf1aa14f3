/**
 * An operation as it is at one microversion and, for POST .../action, for one action: what does not exist there is cut
 * out, so that one plain JSON schema check says all. In responses a property outside its versions is not only undeclared
 * but forbidden: it cannot leak where a schema is free-form. Variants are made on first use and kept.
 */
import { actionsOf } from './actions.js'
import type { Endpoint, Operation, Schema } from './document.js'
import type { Version } from './versions.js'

export interface Variant {
  /** `createSnapshot@14`, `snapshotAction@0:os-reset_status`: one validator each. */
  readonly id: string
  readonly endpoint: Endpoint
  /** The action asked for; null: the operation has actions and this is none of them. */
  readonly action: string | null | undefined
  /** false: the operation does not exist at this version. */
  readonly exists: boolean
  readonly needsAdmin: boolean
  /** The service's own name of the rule a refusal names. */
  readonly policy: string | undefined
  readonly operation: Operation & { readonly path: string; readonly method: string }
}

const JSON_TYPE = 'application/json'

export interface Variants {
  of(endpoint: Endpoint, version: Version, body: unknown): Variant
  readonly byId: ReadonlyMap<string, Variant>
}

export function createVariants(): Variants {
  const byId = new Map<string, Variant>()
  const steps = new Map<Endpoint, number[]>()
  const of = (endpoint: Endpoint, version: Version, body: unknown): Variant => {
    let bounds = steps.get(endpoint)
    if (!bounds) {
      bounds = boundaries(endpoint.operation)
      steps.set(endpoint, bounds)
    }
    const floor = bounds.filter((bound) => version.atLeast(bound)).at(-1) ?? 0
    const action = actionOf(endpoint, version.minor, body)
    const id = `${endpoint.operationId}@${floor}${action === undefined ? '' : `:${action ?? ''}`}`
    let variant = byId.get(id)
    if (!variant) {
      variant = makeVariant(id, endpoint, version.minor, action)
      byId.set(id, variant)
    }
    return variant
  }
  return { of, byId }
}

function actionOf(endpoint: Endpoint, minor: number, body: unknown): string | null | undefined {
  const members = actionsOf(endpoint)
  if (!members) return undefined
  const key = typeof body === 'object' && body !== null ? Object.keys(body)[0] : undefined
  const member = key !== undefined && Object.hasOwn(members, key) ? members[key] : undefined
  return key !== undefined && member !== undefined && isIn(member, minor) ? key : null
}

function makeVariant(id: string, endpoint: Endpoint, minor: number, action: string | null | undefined): Variant {
  const { operation } = endpoint
  const member = action ? actionsOf(endpoint)?.[action] : undefined
  const body = member ?? jsonSchema(operation.requestBody?.content)
  const { requestBody: _, ...rest } = operation
  return {
    id,
    endpoint,
    action,
    exists: isIn(operation, minor),
    needsAdmin: operation['x-admin'] === true || member?.['x-admin'] === true,
    policy: (member?.['x-policy'] as string | undefined) ?? operation['x-policy'],
    operation: {
      ...rest,
      operationId: id,
      path: endpoint.path,
      method: endpoint.method,
      parameters: [
        ...(operation.parameters ?? [])
          .filter((parameter) => isIn(parameter, minor) && parameter.in !== 'header')
          // A project id may be left out of any URL.
          .map((parameter) => ({
            ...parameter,
            required: parameter.required === true && parameter.name !== 'project_id',
            schema: prune(parameter.schema ?? {}, minor, 'request') as Schema,
          })),
        // Unknown query parameters are tolerated, as the real services do below their strict versions.
        { name: '_', in: 'query', schema: { additionalProperties: true } },
      ],
      ...(body && action !== null
        ? {
            requestBody: {
              required: operation.requestBody?.required ?? false,
              content: { [JSON_TYPE]: { schema: prune(body, minor, 'request') as Schema } },
            },
          }
        : {}),
      responses: prune(operation.responses, minor, 'response') as Operation['responses'],
    },
  }
}

/** JSON and its relatives (JSON patch) are all checked as JSON. */
export function jsonSchema(content: Readonly<Record<string, { readonly schema?: Schema }>> | undefined): Schema | undefined {
  const type = Object.keys(content ?? {}).find((name) => name.includes('json'))
  return type === undefined ? undefined : content?.[type]?.schema
}

const COMPOSITIONS = new Set(['allOf', 'anyOf', 'oneOf'])

function prune(node: unknown, minor: number, side: 'request' | 'response'): unknown {
  if (Array.isArray(node)) return node.filter((item) => isIn(item, minor)).map((item) => prune(item, minor, side))
  if (typeof node !== 'object' || node === null) return node
  const { properties, required, ...rest } = node as Schema
  const result: Schema = Object.fromEntries(
    Object.entries(rest)
      .map(([key, value]) => [key, prune(value, minor, side)] as const)
      // A composition none of whose members is there says nothing.
      .filter(([key, value]) => !(COMPOSITIONS.has(key) && Array.isArray(value) && value.length === 0)),
  )
  if (properties === undefined) return required === undefined ? result : { ...result, required }
  const all = Object.entries(properties as Record<string, Schema>)
  const gone = new Set(all.filter(([, schema]) => !isIn(schema, minor)).map(([name]) => name))
  result['properties'] = Object.fromEntries(
    all.flatMap(([name, schema]) =>
      gone.has(name) ? (side === 'response' ? [[name, { not: {} }]] : []) : [[name, prune(schema, minor, side)]],
    ),
  )
  const wanted = ((required ?? []) as string[]).filter((name) => !gone.has(name))
  if (wanted.length > 0) result['required'] = wanted
  return result
}

interface Gated {
  readonly 'x-min-version'?: string
  readonly 'x-max-version'?: string
  readonly 'x-gap-versions'?: readonly [first: string, last: string]
}

function boundaries(operation: Operation): number[] {
  const found = new Set<number>()
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { 'x-min-version': min, 'x-max-version': max, 'x-gap-versions': gap } = node as Gated
    if (min !== undefined) found.add(minorOf(min))
    if (max !== undefined) found.add(minorOf(max) + 1)
    if (gap !== undefined) found.add(minorOf(gap[0])).add(minorOf(gap[1]) + 1)
    for (const value of Object.values(node)) visit(value)
  }
  visit(operation)
  return [...found].sort((a, b) => a - b)
}

function isIn(node: unknown, minor: number): boolean {
  if (typeof node !== 'object' || node === null) return true
  const { 'x-min-version': min, 'x-max-version': max, 'x-gap-versions': gap } = node as Gated
  const inGap = gap !== undefined && minor >= minorOf(gap[0]) && minor <= minorOf(gap[1])
  return !inGap && (min === undefined || minor >= minorOf(min)) && (max === undefined || minor <= minorOf(max))
}

export const minorOf = (text: string): number => Number(String(text).split('.')[1])
