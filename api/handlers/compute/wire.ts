/** Readings of Nova's loose spellings that several handlers share. */
import { DomainError } from '../../../src/domain/errors.js'
import { pythonRepr } from '../../faults/schema-words.js'

const MAX_PAGE = 1000
const TRUE = ['1', 't', 'true', 'on', 'y', 'yes']
const FALSE = ['0', 'f', 'false', 'off', 'n', 'no']

/** A page's size: as asked, cut to the most we give. */
export const limitOf = (text: string | null | undefined): number =>
  text == null || text === '' ? MAX_PAGE : Math.min(MAX_PAGE, Number(text))

/** A value the contract has checked to be a flag. */
export const flagOf = (value: unknown): boolean => TRUE.includes(String(value).toLowerCase())

/** A query's flag: without a value it is set. */
export function queryFlag(text: string | null | undefined): boolean {
  if (text == null) return false
  const word = text.toLowerCase()
  if (word === '' || TRUE.includes(word)) return true
  if (FALSE.includes(word)) return false
  const values = [...FALSE, ...TRUE].sort().map(pythonRepr).join(', ')
  throw new DomainError('invalid', `Unrecognized value ${pythonRepr(text)}, acceptable values are: ${values}`)
}

const KEY = /^[a-zA-Z0-9\-_:. ]{1,255}$/

/** Keys are what the schema language of the contract cannot say. */
export function requireMetadataKeys<M extends Readonly<Record<string, string>>>(metadata: M, field = 'metadata'): M {
  const bad = Object.keys(metadata).filter((key) => !KEY.test(key))
  if (bad.length === 0) return metadata
  const verb = bad.length === 1 ? 'does' : 'do'
  throw new DomainError(
    'invalid',
    `Invalid input for field/attribute ${field}. Value: ${pythonRepr(metadata).slice(0, 1000)}. ${bad.map((key) => pythonRepr(key.slice(0, 300))).join(', ')} ${verb} not match any of the regexes: '^[a-zA-Z0-9-_:. ]{1,255}$'`,
  )
}

/** A moment in ISO 8601, as microseconds. */
export function momentOf(text: string, name: string): number {
  const millis = Date.parse(/([zZ]|[+-]\d{2}:?\d{2})$/.test(text) || !text.includes('T') ? text : `${text}Z`)
  if (Number.isNaN(millis))
    throw new DomainError(
      'invalid',
      `Invalid input for query parameters ${name}. Value: ${text.slice(0, 255)}. ${pythonRepr(text.slice(0, 255))} is not a 'date-time'`,
    )
  // A year no number of ours reaches is as late as can be.
  return Math.min(millis * 1000, Number.MAX_SAFE_INTEGER)
}
