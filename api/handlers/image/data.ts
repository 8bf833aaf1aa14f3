import { DomainError } from '../../../src/domain/errors.js'
import type { ByteRange } from '../../../src/ports/image-store.js'
import type { Handler } from '../../contract.js'
import { WireError } from '../../faults/fault.js'

export const uploadImageData: Handler<'uploadImageData'> = async ({ path, stream, headers, caller, services, reply }) => {
  if (!/^application\/octet-stream\s*(;|$)/i.test(headers['content-type'] ?? ''))
    throw new DomainError('unsupportedMedia', 'The content of an image is sent as application/octet-stream.')
  await services.image.upload(caller, path.image_id, stream)
  return reply(204)
}

export const downloadImageData: Handler<'downloadImageData'> = async ({ path, headers, caller, services, reply }) => {
  const found = await services.image.download(caller, path.image_id, (size) => rangeOf(headers.range, size))
  if (found === undefined) return reply(204)
  const { bytes, range, size, image } = found
  const length = range === null ? size : range.last - range.first + 1
  const common = { 'content-type': 'application/octet-stream', 'content-length': String(length), 'accept-ranges': 'bytes' }
  if (range !== null) return reply(206, bytes, { ...common, 'content-range': `bytes ${range.first}-${range.last}/${size}` })
  return reply(200, bytes, { ...common, ...(image.checksum === null ? {} : { 'content-md5': image.checksum }) })
}

/** One range of bytes (RFC 9110): `a-b`, `a-`, `-n`. Other units are not ours and mean the whole; more than one is refused. */
export function rangeOf(header: string | undefined, size: number): ByteRange | null {
  if (header === undefined || !/^bytes=/i.test(header)) return null
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header.replaceAll(' ', ''))
  const [from, to] = [match?.[1] ?? '', match?.[2] ?? '']
  if (match === null || (from === '' && to === '')) throw unsatisfiable(header, size)
  const first = from === '' ? Math.max(0, size - Number(to)) : Number(from)
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1)
  if (first > last) throw unsatisfiable(header, size)
  return { first, last }
}

const unsatisfiable = (header: string, size: number): WireError =>
  new WireError(416, `The range '${header}' cannot be satisfied.`, { headers: { 'Content-Range': `bytes */${size}` } })
