/** Values as OpenStack's clients write them: truth in many spellings, digits as text, dictionaries as Python prints them. */
import { DomainError } from '../../../src/domain/errors.js'
import type { Metadata } from '../../../src/domain/metadata.js'
import { pythonRepr } from '../../faults/schema-words.js'

const TRUE = new Set(['1', 't', 'true', 'on', 'y', 'yes'])

export const isTrue = (value: unknown): boolean => value === true || (typeof value === 'string' && TRUE.has(value.trim().toLowerCase()))

const FALSE = new Set(['0', 'f', 'false', 'off', 'n', 'no'])

/** undefined: it says neither. */
export const truthOf = (text: string): boolean | undefined =>
  isTrue(text) ? true : FALSE.has(text.trim().toLowerCase()) ? false : undefined

/** A flag in the query: absent is false, and what is no flag is refused. */
export function boolParam(text: string | null | undefined, name: string): boolean {
  const said = text == null ? false : truthOf(text)
  if (said === undefined) throw new DomainError('invalid', `Value '${text?.slice(0, 255)}' for '${name}' is not a boolean.`)
  return said
}

const KEY = /^[a-zA-Z0-9\-_:. /]{1,255}$/
const KEY_AS_TOLD = "'^[a-zA-Z0-9-_:. /]{1,255}$'"

/** OpenAPI 3.0 has no word for allowed keys: said here, in the words of the schema check. */
export function checkedKeys(metadata: Metadata, field = 'metadata'): Metadata {
  const bad = Object.keys(metadata).filter((key) => !KEY.test(key))
  if (bad.length === 0) return metadata
  const value = pythonRepr(metadata).slice(0, 1024)
  const names = bad.map((key) => pythonRepr(key.slice(0, 300))).join(', ')
  throw new DomainError(
    'invalid',
    `Invalid input for field/attribute ${field}. Value: ${value}. ${names} ${bad.length === 1 ? 'does' : 'do'} not match any of the regexes: ${KEY_AS_TOLD}`,
  )
}

/** The body of PUT …/{key}: exactly the item the URL names. */
export function onlyItem(items: Metadata, key: string): Metadata {
  if (!Object.hasOwn(items, key)) throw new DomainError('invalid', 'Request body and URI mismatch')
  if (Object.keys(items).length > 1) throw new DomainError('invalid', 'Request body contains too many items')
  return checkedKeys(items, 'meta')
}

/** `{'a': 'b'}`: a dictionary of texts as Python's repr (or JSON) writes it. undefined: it is none. */
export function metadataFilter(text: string): Metadata | undefined {
  const token = /\s*(?:u?'((?:[^'\\]|\\.)*)'|u?"((?:[^"\\]|\\.)*)"|([{}:,]))/gy
  const tokens: (string | { text: string })[] = []
  while (token.lastIndex < text.trimEnd().length) {
    const match = token.exec(text)
    if (match === null) return undefined
    tokens.push(match[3] ?? { text: unescaped(match[1] ?? match[2] ?? '') })
  }
  if (tokens[0] !== '{' || tokens.at(-1) !== '}') return undefined
  const inner = tokens.slice(1, -1)
  const pairs: [string, string][] = []
  for (let at = 0; at < inner.length; at += 4) {
    const [key, colon, value, comma] = inner.slice(at, at + 4)
    if (typeof key !== 'object' || colon !== ':' || typeof value !== 'object' || (comma !== undefined && comma !== ',')) return undefined
    pairs.push([key.text, value.text])
  }
  return Object.fromEntries(pairs)
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' }
const unescaped = (text: string): string =>
  text.replace(/\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))/gs, (_, unicode?: string, hex?: string, char = '') =>
    unicode !== undefined || hex !== undefined ? String.fromCharCode(Number.parseInt(unicode ?? hex ?? '', 16)) : (ESCAPES[char] ?? char),
  )

interface Named {
  readonly name?: string | null
  readonly display_name?: string | null
  readonly description?: string | null
  readonly display_description?: string | null
}

/** The old and the new spelling of name and description; absent stays absent, white space around them goes. */
export function naming(wire: Named): { name?: string | null; description?: string | null } {
  const name = wire.name === undefined ? wire.display_name : wire.name
  const description = wire.description === undefined ? wire.display_description : wire.description
  return {
    ...(name === undefined ? {} : { name: name?.trim() ?? null }),
    ...(description === undefined ? {} : { description: description?.trim() ?? null }),
  }
}

/** A status by hand: lower-cased, and one of those there are. */
export function statusWord<S extends string>(text: string, all: readonly S[], what: 'Snapshot' | 'Volume'): S {
  const wanted = text.toLowerCase()
  const found = all.find((status) => status === wanted)
  if (found !== undefined) return found
  const list = `(${all.map((status) => `'${status}'`).join(', ')})`
  throw new DomainError('invalid', `${what} status: ${text.slice(0, 255)} is invalid, valid statuses are: ${list}.`)
}
