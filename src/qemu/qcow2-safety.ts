/**
 * What a stranger's qcow2 must be before any tool opens it: one self-contained disk, nothing else. It refers to no
 * file, holds nothing beside the disk (snapshots, bitmaps), uses no feature we do not know, and its tables are in
 * bounds and inside the file. Memory and time spent here are bounded by constants, not by what the file says.
 */
import { EXTENSION, INCOMPATIBLE, isQcow2, MalformedHeader, type Qcow2Header, readExtensions, readHeader } from './qcow2-header.js'

export interface BoundedFile {
  readonly length: number
  /** Fewer bytes than asked at the end of the file. */
  read(at: number, bytes: number): Promise<Buffer>
}

const MAX_CLUSTER = 2 * 1024 * 1024
const MAX_L1_BYTES = 32n * 1024n * 1024n
const MAX_REFCOUNT_TABLE_BYTES = 8n * 1024n * 1024n
/** Enough for 128 TiB in clusters of 64 KiB. */
const MAX_L2_TABLES = 262_144
const OFFSET_HIGH = 0x00ff_ffff
const OFFSET_LOW = 0xffff_fe00

/** Throws MalformedHeader with the reason, as the end of the sentence "The image was refused: …". */
export async function checkQcow2(file: BoundedFile, maxVirtualSize: number): Promise<number> {
  const head = await file.read(0, MAX_CLUSTER)
  if (!isQcow2(head)) throw new MalformedHeader('it is not a qcow2 image')
  const header = readHeader(head)
  checkReferences(header)
  checkFeatures(header)
  checkBounds(header, BigInt(file.length), BigInt(maxVirtualSize))
  checkExtensions(head.subarray(0, 2 ** header.clusterBits), header)
  await checkTables(file, header)
  return Number(header.size)
}

function checkReferences(header: Qcow2Header): void {
  reject(header.backingOffset !== 0n || header.backingSize !== 0, 'it refers to a backing file')
  reject((header.incompatible & INCOMPATIBLE.dataFile) !== 0n, 'it refers to an external data file')
  reject((header.autoclear & 2n) !== 0n, 'it refers to an external data file')
}

function checkFeatures(header: Qcow2Header): void {
  reject(header.cryptMethod !== 0, 'it is encrypted')
  reject((header.incompatible & INCOMPATIBLE.corrupt) !== 0n, 'it is marked as corrupt')
  reject((header.incompatible & INCOMPATIBLE.dirty) !== 0n, 'it was not closed cleanly (repair it with "qemu-img check -r all")')
  reject(header.incompatible >> 4n !== 0n, 'it uses features that are not supported')
  const zstd = (header.incompatible & INCOMPATIBLE.compressionType) !== 0n
  reject(header.compressionType !== (zstd ? 1 : 0), 'its compression type is unknown')
  reject(header.snapshots !== 0, 'it contains internal snapshots (flatten it with "qemu-img convert")')
}

function checkBounds(header: Qcow2Header, length: bigint, maxVirtualSize: bigint): void {
  reject(header.clusterBits < 9 || header.clusterBits > 21, 'its cluster size is out of range')
  reject(header.size > maxVirtualSize, `its virtual size is larger than the ${maxVirtualSize} bytes allowed`)
  reject(header.size % 512n !== 0n, 'its virtual size is not a multiple of 512')
  reject(header.refcountOrder > 6, 'its refcount width is out of range')
  const cluster = 1n << BigInt(header.clusterBits)
  const l1Bytes = BigInt(header.l1Size) * 8n
  const reach = (cluster * cluster) / 8n
  reject(BigInt(header.l1Size) < (header.size + reach - 1n) / reach || l1Bytes > MAX_L1_BYTES, 'its L1 table is out of range')
  reject(header.l1Size > 0 && !insideFile(header.l1Offset, l1Bytes, cluster, length), 'its L1 table lies outside the file')
  const tableBytes = BigInt(header.refcountTableClusters) * cluster
  reject(tableBytes === 0n || tableBytes > MAX_REFCOUNT_TABLE_BYTES, 'its refcount table is out of range')
  // QEMU writes tables in whole clusters, but the file may end with the last one's last used byte.
  reject(!insideFile(header.refcountTableOffset, 8n, cluster, length), 'its refcount table lies outside the file')
  reject(header.refcountTableOffset + tableBytes > length + cluster * BigInt(header.refcountTableClusters), 'it is truncated')
}

function checkExtensions(head: Buffer, header: Qcow2Header): void {
  reject(header.headerLength > head.length, 'its header is longer than a cluster')
  for (const { type } of readExtensions(head, header)) {
    reject(type === EXTENSION.dataFile, 'it refers to an external data file')
    reject(type === EXTENSION.backingFormat, 'it names the format of a backing file')
    reject(type === EXTENSION.encryption, 'it is encrypted')
    reject(type === EXTENSION.bitmaps, 'it contains dirty bitmaps (flatten it with "qemu-img convert")')
  }
}

/** Every cluster the tables lead to must begin inside the file; the same L2 table twice would make reading endless. */
async function checkTables(file: BoundedFile, header: Qcow2Header): Promise<void> {
  const cluster = 2 ** header.clusterBits
  const seen = new Set<number>()
  const l1 = await file.read(Number(header.l1Offset), header.l1Size * 8)
  for (let at = 0; at + 8 <= l1.length; at += 8) {
    const table = hostOffset(l1, at)
    if (table === 0) continue
    reject(table % cluster !== 0 || table + cluster > file.length, 'it is truncated, or its L1 table leads nowhere')
    reject(seen.has(table), 'its L1 table leads twice to one place')
    reject(seen.size >= MAX_L2_TABLES, 'it has too many tables: use larger clusters')
    seen.add(table)
    checkL2(await file.read(table, cluster), header.clusterBits, file.length)
  }
}

function checkL2(table: Buffer, clusterBits: number, length: number): void {
  const cluster = 2 ** clusterBits
  // Bits of a compressed cluster's descriptor that are its offset.
  const offsetBits = 62 - (clusterBits - 8)
  for (let at = 0; at + 8 <= table.length; at += 8) {
    const high = table.readUInt32BE(at)
    if (high === 0 && table.readUInt32BE(at + 4) <= 1) continue
    if ((high & 0x4000_0000) !== 0) {
      const offset = table.readBigUInt64BE(at) & ((1n << 62n) - 1n) & ((1n << BigInt(offsetBits)) - 1n)
      reject(offset >= BigInt(length), 'it is truncated')
    } else {
      const offset = hostOffset(table, at)
      reject(offset % cluster !== 0 || offset >= length, 'it is truncated, or its tables lead nowhere')
    }
  }
}

function hostOffset(table: Buffer, at: number): number {
  return (table.readUInt32BE(at) & OFFSET_HIGH) * 2 ** 32 + ((table.readUInt32BE(at + 4) & OFFSET_LOW) >>> 0)
}

const insideFile = (offset: bigint, bytes: bigint, cluster: bigint, length: bigint): boolean =>
  offset >= cluster && offset % cluster === 0n && offset + bytes <= length

function reject(condition: boolean, reason: string): void {
  if (condition) throw new MalformedHeader(reason)
}
