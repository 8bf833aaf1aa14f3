/**
 * The qcow2 header as bytes: writing the empty image we make ourselves, and reading any. Reading judges nothing
 * and trusts nothing: every offset is checked against the buffer, every number stays a bigint where it can be huge.
 */

export const QCOW2_MAGIC = 0x514649fb
export const INCOMPATIBLE = { dirty: 1n, corrupt: 2n, dataFile: 4n, compressionType: 8n } as const
export const EXTENSION = {
  end: 0,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
  encryption: 0x0537be77,
  dataFile: 0x44415441,
} as const

const CLUSTER = 65536
const CLUSTER_BITS = 16
const HEADER_LENGTH = 104
/** Bytes of guest disk that one L1 entry stands for. */
const L1_REACH = CLUSTER * (CLUSTER / 8)
const MAX_EXTENSIONS = 64

export interface Extension {
  readonly type: number
  readonly data: Buffer
}

export interface Qcow2Header {
  readonly version: number
  readonly backingOffset: bigint
  readonly backingSize: number
  readonly clusterBits: number
  readonly size: bigint
  readonly cryptMethod: number
  readonly l1Size: number
  readonly l1Offset: bigint
  readonly refcountTableOffset: bigint
  readonly refcountTableClusters: number
  readonly snapshots: number
  readonly snapshotsOffset: bigint
  readonly incompatible: bigint
  readonly autoclear: bigint
  readonly refcountOrder: number
  readonly headerLength: number
  /** 0 (deflate) when the field is not there. */
  readonly compressionType: number
}

/** Thrown by the readers below for bytes that are no qcow2 header; the text says what is wrong. */
export class MalformedHeader extends Error {}

/** Bytes to write at offsets, and the file's whole length; everything else is a hole. */
export interface EmptyImage {
  readonly parts: readonly { readonly at: number; readonly bytes: Buffer }[]
  readonly length: number
}

/** An image without data: header, refcount table, one refcount block, and an L1 table left as a hole. */
export function emptyImage(size: number, backing: { name: string; format: string } | null): EmptyImage {
  if (!Number.isSafeInteger(size) || size < 0 || size % 512 !== 0) throw new RangeError(`not a disk size: ${size}`)
  const l1Size = Math.ceil(size / L1_REACH)
  const used = 3 + Math.max(1, Math.ceil((l1Size * 8) / CLUSTER))
  if (used > CLUSTER / 2) throw new RangeError(`too large for one refcount block: ${size}`)
  const header = Buffer.alloc(HEADER_LENGTH)
  const extensions =
    backing === null ? Buffer.alloc(8) : Buffer.concat([extension(EXTENSION.backingFormat, backing.format), Buffer.alloc(8)])
  const name = Buffer.from(backing?.name ?? '')
  if (name.length > 1023) throw new RangeError('backing file name too long')
  header.writeUInt32BE(QCOW2_MAGIC, 0)
  header.writeUInt32BE(3, 4)
  header.writeBigUInt64BE(backing === null ? 0n : BigInt(HEADER_LENGTH + extensions.length), 8)
  header.writeUInt32BE(name.length, 16)
  header.writeUInt32BE(CLUSTER_BITS, 20)
  header.writeBigUInt64BE(BigInt(size), 24)
  header.writeUInt32BE(l1Size, 36)
  header.writeBigUInt64BE(BigInt(3 * CLUSTER), 40)
  header.writeBigUInt64BE(BigInt(CLUSTER), 48)
  header.writeUInt32BE(1, 56)
  header.writeUInt32BE(4, 96)
  header.writeUInt32BE(HEADER_LENGTH, 100)
  const refcountTable = Buffer.alloc(8)
  refcountTable.writeBigUInt64BE(BigInt(2 * CLUSTER))
  const refcounts = Buffer.alloc(used * 2)
  for (let cluster = 0; cluster < used; cluster++) refcounts.writeUInt16BE(1, cluster * 2)
  return {
    parts: [
      { at: 0, bytes: Buffer.concat([header, extensions, name]) },
      { at: CLUSTER, bytes: refcountTable },
      { at: 2 * CLUSTER, bytes: refcounts },
    ],
    length: used * CLUSTER,
  }
}

export const isQcow2 = (head: Buffer): boolean => head.length >= 4 && head.readUInt32BE(0) === QCOW2_MAGIC

/** `head` is the beginning of the file, as much of it as there is up to the first cluster. */
export function readHeader(head: Buffer): Qcow2Header {
  if (!isQcow2(head)) throw new MalformedHeader('it does not begin as a qcow2 image')
  if (head.length < 72) throw new MalformedHeader('its header is truncated')
  const version = head.readUInt32BE(4)
  if (version !== 2 && version !== 3) throw new MalformedHeader(`its version ${version} is unknown`)
  if (version === 3 && head.length < HEADER_LENGTH) throw new MalformedHeader('its header is truncated')
  const headerLength = version === 2 ? 72 : head.readUInt32BE(100)
  if (version === 3 && (headerLength < HEADER_LENGTH || headerLength % 8 !== 0 || headerLength > head.length)) {
    throw new MalformedHeader('its header length is out of range')
  }
  return {
    version,
    backingOffset: head.readBigUInt64BE(8),
    backingSize: head.readUInt32BE(16),
    clusterBits: head.readUInt32BE(20),
    size: head.readBigUInt64BE(24),
    cryptMethod: head.readUInt32BE(32),
    l1Size: head.readUInt32BE(36),
    l1Offset: head.readBigUInt64BE(40),
    refcountTableOffset: head.readBigUInt64BE(48),
    refcountTableClusters: head.readUInt32BE(56),
    snapshots: head.readUInt32BE(60),
    snapshotsOffset: head.readBigUInt64BE(64),
    incompatible: version === 2 ? 0n : head.readBigUInt64BE(72),
    autoclear: version === 2 ? 0n : head.readBigUInt64BE(88),
    refcountOrder: version === 2 ? 4 : head.readUInt32BE(96),
    headerLength,
    compressionType: headerLength > HEADER_LENGTH ? head.readUInt8(104) : 0,
  }
}

/** The extensions behind the header; they end with type 0, at the backing name, or with the first cluster. */
export function readExtensions(head: Buffer, header: Qcow2Header): Extension[] {
  const found: Extension[] = []
  const end = header.backingOffset > 0n && header.backingOffset < BigInt(head.length) ? Number(header.backingOffset) : head.length
  let at = header.headerLength
  while (at + 8 <= end) {
    const type = head.readUInt32BE(at)
    const length = head.readUInt32BE(at + 4)
    if (type === EXTENSION.end) return found
    if (length > end - at - 8) throw new MalformedHeader('a header extension is longer than its place')
    if (found.length >= MAX_EXTENSIONS) throw new MalformedHeader('it has too many header extensions')
    found.push({ type, data: head.subarray(at + 8, at + 8 + length) })
    at += 8 + Math.ceil(length / 8) * 8
  }
  return found
}

export function readBackingName(head: Buffer, header: Qcow2Header): string | undefined {
  if (header.backingOffset === 0n) return undefined
  const end = header.backingOffset + BigInt(header.backingSize)
  if (header.backingSize > 1023 || end > BigInt(head.length)) throw new MalformedHeader('its backing file name is out of range')
  return head.subarray(Number(header.backingOffset), Number(end)).toString('utf8')
}

function extension(type: number, text: string): Buffer {
  const bytes = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8)
  bytes.writeUInt32BE(type, 0)
  bytes.writeUInt32BE(text.length, 4)
  bytes.write(text, 8, 'latin1')
  return bytes
}
