/**
 * Reading back the headers of our own layers, strictly (SEC-04): a layer must stand on exactly the file the tables
 * name, refer to nothing else, and be whole. Anything else was torn by a crash or changed by somebody.
 */
import { constants, promises as fs } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { LayerFile } from '../ports/block.js'
import { EXTENSION, INCOMPATIBLE, MalformedHeader, type Qcow2Header, readBackingName, readExtensions, readHeader } from './qcow2-header.js'

interface OwnHeader {
  readonly header: Qcow2Header
  readonly backingName: string | undefined
  readonly backingFormat: string | undefined
  readonly length: number
  /** As we write it: the refcount structure leads from its table to a block that counts the header's own cluster. */
  readonly counted: boolean
}

/** What is wrong with the layer's file, or undefined when nothing is. */
export async function checkLayer(
  layer: LayerFile,
  backing: { name: string; format: string } | null,
  options: { justMade?: boolean } = {},
): Promise<string | undefined> {
  if (layer.format === 'raw') return await checkRaw(layer, backing)
  let own: OwnHeader
  try {
    own = await readOwn(layer.path)
  } catch (error) {
    if (error instanceof MalformedHeader) return `is not a whole qcow2 file: ${error.message}`
    throw error
  }
  const { header } = own
  if (header.cryptMethod !== 0 || (header.incompatible & ~INCOMPATIBLE.dirty & ~INCOMPATIBLE.compressionType) !== 0n) {
    return 'has features its tables do not know'
  }
  if (options.justMade === true && header.size !== BigInt(layer.virtualSize)) return 'has another virtual size'
  if (header.l1Offset + BigInt(header.l1Size) * 8n > BigInt(own.length)) return 'is not whole'
  if (options.justMade === true && !own.counted) return 'is not whole'
  const expected = backing === null ? undefined : resolve(dirname(layer.path), backing.name)
  const actual = own.backingName === undefined ? undefined : resolve(dirname(layer.path), own.backingName)
  if (actual !== expected) return 'stands on another file than recorded'
  if (backing !== null && own.backingFormat !== backing.format) return 'names another backing format than recorded'
  return undefined
}

export async function readOwn(path: string): Promise<OwnHeader> {
  const file = await fs.open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const read = async (at: number, bytes: number): Promise<Buffer> => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, at)
      return buffer.subarray(0, bytesRead)
    }
    const head = await read(0, 4096)
    const header = readHeader(head)
    const extensions = readExtensions(head, header)
    if (extensions.some(({ type }) => type === EXTENSION.dataFile || type === EXTENSION.encryption)) {
      throw new MalformedHeader('it refers to another file')
    }
    const table = await read(Number(header.refcountTableOffset), 8)
    const block = table.length === 8 ? table.readBigUInt64BE(0) : 0n
    return {
      header,
      backingName: readBackingName(head, header),
      backingFormat: extensions.find(({ type }) => type === EXTENSION.backingFormat)?.data.toString('latin1'),
      length: (await file.stat()).size,
      counted: block > 0n && (await read(Number(block), 2)).equals(Buffer.from([0, 1])),
    }
  } finally {
    await file.close()
  }
}

async function checkRaw(layer: LayerFile, backing: object | null): Promise<string | undefined> {
  if (backing !== null) return 'is raw and stands on nothing'
  const stats = await fs.lstat(layer.path)
  if (!stats.isFile()) return 'is not a plain file'
  return undefined
}
