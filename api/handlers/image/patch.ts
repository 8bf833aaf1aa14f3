/** Both media types of an image patch become the same list of changes. */
import { DomainError } from '../../../src/domain/errors.js'
import type { ImageChange } from '../../../src/services/image/patch.js'

const OPS = ['add', 'replace', 'remove'] as const
type Op = (typeof OPS)[number]

const invalid = (sentence: string): DomainError => new DomainError('invalid', sentence)

export function changesOf(body: unknown, contentType: string | undefined): ImageChange[] {
  if (!Array.isArray(body)) throw invalid('Request body must be a JSON array of operation objects.')
  const old = contentType?.startsWith('application/openstack-images-v2.0-json-patch') === true
  return body.map((raw: unknown) => {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) throw invalid('Operations must be JSON objects.')
    const change = raw as Record<string, unknown>
    const op = old ? oldOp(change) : newOp(change)
    const path = change[old ? op : 'path']
    if (typeof path !== 'string') throw invalid(`Unable to find 'path' in JSON Schema change`)
    const value = 'value' in change ? { value: change['value'] } : {}
    if (op !== 'remove' && !('value' in change)) throw invalid(`Operation "${op}" requires a member named "value".`)
    return { op, name: nameOf(path), ...value }
  })
}

function newOp(change: Readonly<Record<string, unknown>>): Op {
  const op = OPS.find((one) => one === change['op'])
  if (op === undefined) throw invalid(`Operations must be one of: ${OPS.join(', ')}.`)
  return op
}

function oldOp(change: Readonly<Record<string, unknown>>): Op {
  const [op, ...more] = OPS.filter((one) => one in change)
  if (op === undefined || more.length > 0)
    throw invalid('Operation objects must contain exactly one member named "add", "remove", or "replace".')
  return op
}

/** A JSON pointer to an attribute: one level deep, `~1` for `/` and `~0` for `~`. */
function nameOf(pointer: string): string {
  if (!pointer.startsWith('/')) throw invalid(`Pointer \`${pointer}\` does not start with "/".`)
  const name = pointer.slice(1)
  if (name === '' || name.includes('/')) throw invalid(`Invalid JSON pointer for this resource: '${pointer}'`)
  if (/~(?![01])/.test(name)) throw invalid(`Pointer \`${pointer}\` contains "~" not part of a recognized escape sequence.`)
  return name.replaceAll('~1', '/').replaceAll('~0', '~')
}
