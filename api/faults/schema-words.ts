/**
 * A failed schema check in the words of the service that was asked. Cinder and Nova pass on what Python's jsonschema
 * says, with values as Python writes them; Keystone and Glance put other words around the same sentence.
 */

import type { ServiceName } from '../versions.js'
import { WireError } from './fault.js'

/** Of what ajv says of a failed check (with `verbose`), what is read here. */
export interface ErrorObject {
  readonly keyword: string
  readonly instancePath: string
  readonly params: object
  readonly message?: string
  readonly schema?: unknown
  readonly parentSchema?: object
  readonly data?: unknown
}

const BODY = '/requestBody'

export function schemaError(service: ServiceName, operationId: string, errors: readonly ErrorObject[]): WireError {
  const inBody = errors.filter((error) => error.instancePath.startsWith(BODY) || error.instancePath === '')
  const error = (inBody.length > 0 ? inBody : errors).at(-1)
  if (!error) return new WireError(400, 'The request is invalid.')
  const isBody = inBody.length > 0
  const path = error.instancePath.split('/').slice(2).map(unescapePointer)
  return new WireError(400, WORDS[service]({ path, message: messageOf(error), value: error.data, isBody, operationId }))
}

interface Told {
  readonly path: readonly string[]
  readonly message: string
  readonly value: unknown
  readonly isBody: boolean
  readonly operationId: string
}

const oslo = ({ path, message, value, isBody }: Told): string => {
  const last = path.at(-1)
  if (last === undefined) return message
  return `Invalid input for ${isBody ? 'field/attribute' : 'query parameters'} ${last}. Value: ${clip(pythonStr(value))}. ${message}`
}

const MALFORMED =
  'The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.'

const WORDS: Record<ServiceName, (told: Told) => string> = {
  volume: oslo,
  compute: oslo,
  identity: ({ path, message, operationId }) => {
    if (operationId === 'createToken' && path.length === 0) return `Expecting to find auth in request body. ${MALFORMED}`
    return path.length === 0 ? message : `Invalid input for field '${path.join('/')}': ${message}`
  },
  image: ({ path, message }) => `Provided object does not match schema 'image': ${message}${path.length > 0 ? ` (${path.join('.')})` : ''}`,
  strata: ({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`),
}

function messageOf(error: ErrorObject): string {
  const value = clip(pythonRepr(error.data))
  const limit = (error.params as { limit?: unknown }).limit
  const schema = (error.parentSchema ?? {}) as Record<string, unknown>
  switch (error.keyword) {
    case 'type': {
      const types = [schema['type']].flat().concat(schema['nullable'] === true ? ['null'] : [])
      return `${value} is not of type ${types.map(pythonRepr).join(', ')}`
    }
    case 'required':
      return `${pythonRepr((error.params as { missingProperty: string }).missingProperty)} is a required property`
    case 'additionalProperties':
      return additional(error.data as object, schema)
    case 'maxLength':
    case 'maxItems':
      return `${value} is too long`
    case 'minLength':
    case 'minItems':
      return `${value} is too short`
    case 'minimum':
      return `${value} is less than the minimum of ${limit}`
    case 'maximum':
      return `${value} is greater than the maximum of ${limit}`
    case 'enum':
      return `${value} is not one of ${clip(pythonRepr(error.schema))}`
    case 'pattern':
      return `${value} does not match ${pythonRepr(error.schema)}`
    case 'format':
      return `${value} is not a ${pythonRepr(error.schema)}`
    case 'anyOf':
    case 'oneOf':
      return `${value} is not valid under any of the given schemas`
    case 'minProperties':
      return `${value} does not have enough properties`
    case 'maxProperties':
      return `${value} has too many properties`
    case 'uniqueItems':
      return `${value} has non-unique elements`
    case 'propertyNames':
      return `${pythonRepr((error.params as { propertyName: string }).propertyName)} is not an allowed name`
    case 'not':
      return `${value} is not allowed here`
    default:
      return `${value} ${error.message ?? 'is invalid'}`
  }
}

function additional(data: object, schema: Record<string, unknown>): string {
  const known = (schema['properties'] ?? {}) as object
  const patterns = Object.keys((schema['patternProperties'] ?? {}) as object)
  const extras = Object.keys(data).filter(
    (key) => !Object.hasOwn(known, key) && !patterns.some((pattern) => new RegExp(pattern, 'u').test(key)),
  )
  const names = extras
    .sort()
    .map((key) => clip(pythonRepr(key)))
    .join(', ')
  if (patterns.length > 0)
    return `${names} ${extras.length === 1 ? 'does' : 'do'} not match any of the regexes: ${patterns.map(pythonRepr).join(', ')}`
  return `Additional properties are not allowed (${names} ${extras.length === 1 ? 'was' : 'were'} unexpected)`
}

/** Python's str(): text as it is, everything else as repr(). */
const pythonStr = (value: unknown): string => (typeof value === 'string' ? value : pythonRepr(value))

export function pythonRepr(value: unknown, depth = 0): string {
  if (value === null || value === undefined) return 'None'
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (typeof value === 'string') return quote(value)
  if (typeof value !== 'object') return String(value)
  if (depth > 20) return '...'
  if (Array.isArray(value)) return `[${value.map((item) => pythonRepr(item, depth + 1)).join(', ')}]`
  return `{${Object.entries(value)
    .map(([key, item]) => `${quote(key)}: ${pythonRepr(item, depth + 1)}`)
    .join(', ')}}`
}

const SHORT: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' }

function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'"
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what repr() spells out
  const inner = text.replace(/[\u0000-\u001f\u007f\\]/g, (char) => SHORT[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
  return mark + (mark === "'" ? inner.replaceAll("'", "\\'") : inner) + mark
}

/** A fault echoes input, but not kilobytes of it. */
const clip = (text: string): string => (text.length > 1024 ? `${text.slice(0, 1024)}…` : text)

const unescapePointer = (key: string): string => key.replaceAll('~1', '/').replaceAll('~0', '~')
