/**
 * A JSON body, read once and bounded. What is wrong with it is kept, not thrown, until the caller is known. An absent
 * body reads as `{}`: the schema then names what is missing, in each service's words.
 */
import type { IncomingMessage } from 'node:http'
import { DomainError } from '../../src/domain/errors.js'
import { WireError } from '../faults/fault.js'
import type { ServiceName } from '../versions.js'

export interface ReadBody {
  readonly value: unknown
  readonly raw: Buffer
  readonly error?: DomainError
}

const NOTHING: ReadBody = { value: {}, raw: Buffer.alloc(0) }
const MAX_DEPTH = 64

export async function readJson(
  request: IncomingMessage,
  options: { service: ServiceName; types: readonly string[]; limit: number },
): Promise<ReadBody> {
  const { service, types, limit } = options
  const raw = await collect(request, limit)
  if (raw === undefined)
    return { ...NOTHING, error: new DomainError('tooLarge', service === 'image' ? 'Request body is too large.' : 'Request is too large.') }
  if (raw.length === 0) return NOTHING
  const type =
    String(request.headers['content-type'] ?? '')
      .split(';')[0]
      ?.trim()
      .toLowerCase() ?? ''
  if (!isAccepted(service, types, type)) return { ...NOTHING, error: unsupported(service, types) }
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(raw)) as unknown
    if (depthOf(value) > MAX_DEPTH) return { ...NOTHING, error: new WireError(400, MALFORMED[service]) }
    return { value, raw }
  } catch {
    return { ...NOTHING, error: new WireError(400, MALFORMED[service]) }
  }
}

const MALFORMED: Record<ServiceName, string> = {
  volume: 'Malformed request body',
  compute: 'Malformed request body',
  image: 'Malformed JSON in request body.',
  identity: 'Malformed json in request body',
  strata: 'The request body is not JSON.',
}

/** Keystone never looks at the type; the others take JSON, and a missing type for JSON. */
function isAccepted(service: ServiceName, types: readonly string[], type: string): boolean {
  if (types.includes(type)) return true
  return types.includes('application/json') && (service === 'identity' || type === '' || type === 'text/plain')
}

function unsupported(service: ServiceName, types: readonly string[]): DomainError {
  if (service !== 'image') return new DomainError('unsupportedMedia', 'Unsupported Content-Type')
  const headers = types.includes('application/json') ? {} : { 'Accept-Patch': types.join(', ') }
  return new WireError(415, 'The server does not support the media type of the request body.', { kind: 'unsupportedMedia', headers })
}

/** undefined: more than `limit` bytes. The rest is let through unread, so that the answer reaches the client. */
function collect(request: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > limit) {
    request.resume()
    return Promise.resolve(undefined)
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= limit) chunks.push(chunk)
      else resolve(undefined)
    })
    request.on('end', () => resolve(Buffer.concat(chunks)))
    request.on('error', reject)
    request.on('close', () => reject(new DomainError('invalid', 'The request ended early.')))
  })
}

function depthOf(value: unknown): number {
  let level: unknown[] = [value]
  for (let depth = 0; ; depth++) {
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []))
    if (level.length === 0 || depth > MAX_DEPTH) return depth
  }
}
