/**
 * ImageInspector: what an untrusted file really is. First our own bounded reading; only what passes is shown to
 * qemu-img, under limits, and the two must agree. Whatever goes wrong while reading hostile bytes is a refusal.
 */
import { constants, promises as fs } from 'node:fs'
import { AdapterError, DomainError, unavailable } from '../domain/errors.js'
import type { ImageInspector } from '../ports/files.js'
import { errorCode } from './durable.js'
import { foreignFormats, HEAD_BYTES, TAIL_BYTES } from './foreign-formats.js'
import { imageInfo } from './image-tool.js'
import { MalformedHeader } from './qcow2-header.js'
import { type BoundedFile, checkQcow2 } from './qcow2-safety.js'

type Declared = 'qcow2' | 'raw'
type Limits = { readonly maxVirtualSize: number }

export function createImageInspector(): ImageInspector {
  return {
    async inspect(path, declared, limits) {
      const virtualSize = await readUntrusted(path, declared, limits)
      await confirm(path, declared, virtualSize)
      return { virtualSize }
    },
  }
}

/** Our own reading alone: the virtual size, or a DomainError. */
export async function readUntrusted(path: string, declared: Declared, limits: Limits): Promise<number> {
  const handle = await open(path)
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw new MalformedHeader('it is not a plain file')
    const read = async (at: number, bytes: number): Promise<Buffer> => {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.max(0, Math.min(bytes, stats.size - at))), { position: at })
      return buffer.subarray(0, bytesRead)
    }
    return await judge({ length: stats.size, read }, declared, limits)
  } catch (error) {
    if (error instanceof MalformedHeader) throw invalid(error.message, error)
    // A host's failing disk is not the caller's fault; every other surprise comes from the bytes.
    if (errorCode(error) === 'EIO') throw unavailable('the image could not be read', { cause: error })
    throw invalid('it could not be understood', error)
  } finally {
    await handle.close()
  }
}

async function open(path: string): Promise<fs.FileHandle> {
  try {
    return await fs.open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    throw unavailable('the image file could not be opened', { cause: error })
  }
}

async function judge(file: BoundedFile, declared: Declared, limits: Limits): Promise<number> {
  const head = await file.read(0, HEAD_BYTES)
  const tail = await file.read(Math.max(0, file.length - TAIL_BYTES), TAIL_BYTES)
  if (declared === 'qcow2') {
    const size = await checkQcow2(file, limits.maxVirtualSize)
    refuseForeign(foreignFormats(head, tail, declared), declared)
    return size
  }
  refuseForeign(foreignFormats(head, tail, declared), declared)
  const size = Math.ceil(file.length / 512) * 512
  if (size > limits.maxVirtualSize) throw new MalformedHeader(`its size is larger than the ${limits.maxVirtualSize} bytes allowed`)
  return size
}

function refuseForeign(found: readonly string[], declared: Declared): void {
  if (found.length > 0) throw new MalformedHeader(`it is declared as ${declared} but contains the header of ${found.join(' and ')}`)
}

async function confirm(path: string, declared: Declared, virtualSize: number): Promise<void> {
  let info: Awaited<ReturnType<typeof imageInfo>>
  try {
    info = await imageInfo(path, declared)
  } catch (error) {
    if (error instanceof AdapterError && error.outcome === 'unavailable') throw error
    throw invalid('it could not be opened', error)
  }
  const agrees = info.format === declared && info.virtualSize === virtualSize
  const plain = !info.refersToOthers && !info.encrypted && !info.corrupt && info.snapshots === 0
  if (!agrees || !plain) throw invalid('two readings of it disagree', new Error(JSON.stringify(info)))
}

const invalid = (reason: string, cause: unknown): DomainError => new DomainError('invalid', `The image was refused: ${reason}.`, { cause })
