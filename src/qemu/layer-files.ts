/**
 * LayerFiles on a directory. Empty layers are written in process (0.3 ms; a qemu-img process takes 7 to 10), what
 * needs the format's inner tables is left to qemu-img. Whatever is reported done is on disk: data and directory.
 */
import { closeSync, constants, fdatasync, promises as fs, ftruncateSync, openSync, writeSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { promisify } from 'node:util'
import { AdapterError, refused, unavailable, unknown } from '../domain/errors.js'
import type { Reason } from '../domain/reasons.js'
import type { LayerFile } from '../ports/block.js'
import type { LayerFiles } from '../ports/files.js'
import { errorCode, renameDurably, statOf, syncDirectory, syncFile, unlinkDurably } from './durable.js'
import { hashFile } from './file-hash.js'
import { mapImage } from './image-map.js'
import { changeTag, convertImage, convertTag, imageTags, mendImage, resizeImage, rewriteBacking } from './image-tool.js'
import { checkLayer, readOwn } from './layer-header.js'
import { emptyImage } from './qcow2-header.js'

const NEW_FILE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
/** What a tool could not write is at most this much more than what is left. */
const FULL = 2 * 1024 * 1024
const dataSync = promisify(fdatasync)

export function createLayerFiles(): LayerFiles {
  return {
    create: (layer, backing) => reduce(() => create(layer, backing)),
    probe: (layer, backing) => reduce(() => probe(layer, backing)),
    verify: (chain) =>
      reduce(async () => {
        for (const [index, layer] of chain.entries()) {
          const wrong = await checkLayer(layer, backingOf(layer, chain[index + 1] ?? null))
          if (wrong !== undefined) throw refused(`${basename(layer.path)} ${wrong}`, { code: 'image_tampered', reason: 'file-changed' })
        }
      }),
    exists: (path) => reduce(async () => (await statOf(path)) !== undefined),
    remove: (path) => reduce(() => unlinkDurably(path)),
    rename: (from, to) => reduce(() => renameDurably(from, to)),
    stat: (path) =>
      reduce(async () => {
        const stats = await statOf(path)
        return stats && { allocated: stats.blocks * 512, length: stats.size }
      }),
    grow: (layer, bytes) => reduce(() => grow(layer, bytes)),
    rebase: (layer, backing) =>
      reduce(async () => {
        await rewriteBacking(layer, backingOf(layer, backing))
        await syncFile(layer.path)
      }),
    tags: (layer) => reduce(() => tagsOf(layer)),
    tag: (layer, name) =>
      reduce(async () => {
        if (!(await tagsOf(layer)).includes(name)) await changeTag(layer, 'create', name).catch(orIsFull(layer.path))
        await syncFile(layer.path)
      }),
    untag: (layer, name) =>
      reduce(async () => {
        if ((await tagsOf(layer)).includes(name)) await changeTag(layer, 'delete', name).catch(orIsFull(layer.path))
        await syncFile(layer.path)
      }),
    applyTag: (layer, name) =>
      reduce(async () => {
        await changeTag(layer, 'apply', name).catch(orIsFull(layer.path))
        await syncFile(layer.path)
      }),
    copyTag: (chain, name, layer, options) =>
      reduce(async () => {
        const below = chain.slice(1)
        await unlinkDurably(layer.path)
        await create(layer, below[0] ?? null)
        await convertTag(chain, name, [layer, ...below], options).catch(orIsFull(layer.path))
        await syncFile(layer.path)
      }),
    mend: (layer) =>
      reduce(async () => {
        if (layer.format !== 'qcow2') return
        await mendImage(layer)
        await syncFile(layer.path)
      }),
    flatten: (chain, to, options) =>
      reduce(async () => {
        await unlinkDurably(to)
        await (await fs.open(to, NEW_FILE, 0o600)).close()
        await convertImage(chain, to, options).catch(orIsFull(to))
        await syncFile(to)
      }),
    map: (layer) => reduce(() => mapImage(layer)),
    hash: (path, options) => reduce(() => hashFile(path, options)),
    free: (path) =>
      reduce(async () => {
        const { bavail, bsize } = await fs.statfs(path)
        return bavail * bsize
      }),
  }
}

/** A tool does not say why it could not write: it is asked of the file system. */
const orIsFull =
  (path: string) =>
  async (cause: unknown): Promise<never> => {
    const { bavail, bsize } = await fs.statfs(dirname(path))
    const isFull = cause instanceof AdapterError && cause.outcome === 'refused' && bavail * bsize < FULL
    throw isFull ? refused(cause.message, { cause, reason: 'no-space' }) : cause
  }

/** How a layer's header names the one below: bare within a directory, so that a pool can be moved. */
export function backingOf(layer: LayerFile, backing: LayerFile | null): { name: string; format: string } | null {
  if (backing === null) return null
  const near = resolve(dirname(layer.path)) === resolve(dirname(backing.path))
  return { name: near ? basename(backing.path) : resolve(backing.path), format: backing.format }
}

const tagsOf = async (layer: LayerFile): Promise<string[]> => (layer.format === 'qcow2' ? await imageTags(layer) : [])

async function create(layer: LayerFile, backing: LayerFile | null): Promise<void> {
  if (layer.format === 'raw') return await createRaw(layer, backing)
  const image = emptyImage(layer.virtualSize, backingOf(layer, backing))
  const file = openSync(layer.path, NEW_FILE, 0o600)
  try {
    ftruncateSync(file, image.length)
    for (const part of image.parts) writeSync(file, part.bytes, 0, part.bytes.length, part.at)
    await Promise.all([dataSync(file), syncDirectory(dirname(layer.path))])
  } finally {
    closeSync(file)
  }
}

/** A hole as large as the disk. */
async function createRaw(layer: LayerFile, backing: LayerFile | null): Promise<void> {
  if (backing !== null) throw refused('a raw layer has no backing')
  const file = await fs.open(layer.path, NEW_FILE, 0o600)
  try {
    await file.truncate(layer.virtualSize)
    await Promise.all([file.datasync(), syncDirectory(dirname(layer.path))])
  } finally {
    await file.close()
  }
}

async function probe(layer: LayerFile, backing: LayerFile | null): Promise<'absent' | 'partial' | 'done'> {
  const stats = await statOf(layer.path)
  if (stats === undefined) return 'absent'
  if (layer.format === 'raw' && stats.size !== layer.virtualSize) return 'partial'
  const wrong = await checkLayer(layer, backingOf(layer, backing), { justMade: true })
  if (wrong !== undefined) return 'partial'
  // Whoever wrote it may have died before its sync.
  await syncFile(layer.path)
  return 'done'
}

async function grow(layer: LayerFile, bytes: number): Promise<void> {
  if (layer.format === 'raw') {
    const length = (await statOf(layer.path))?.size
    if (length === undefined) throw refused('no such layer file', { code: 'ENOENT', reason: 'file-missing' })
    if (bytes < length) throw refused('a disk does not shrink')
    if (bytes > length) await fs.truncate(layer.path, bytes)
  } else {
    const { size } = (await readOwn(layer.path)).header
    if (BigInt(bytes) < size) throw refused('a disk does not shrink')
    if (BigInt(bytes) > size) await resizeImage(layer, bytes)
  }
  await syncFile(layer.path)
}

/** Errors of the file system become outcomes: said no, or (an I/O error) nobody knows. */
async function reduce<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    if (error instanceof AdapterError) throw error
    const code = errorCode(error)
    if (error instanceof RangeError) throw refused(error.message, { cause: error })
    if (code === undefined) throw unknown('a layer file could not be handled', { cause: error })
    const reason = await reasonOf(code, (error as NodeJS.ErrnoException).path)
    const isAway = reason === 'pool-away' || code === 'EMFILE' || code === 'ENFILE'
    const build = code === 'EIO' ? unknown : isAway ? unavailable : refused
    throw build(`a layer file could not be handled: ${code}`, { code, cause: error, ...(reason === undefined ? {} : { reason }) })
  }
}

const REASONS: Readonly<Record<string, Reason>> = {
  EIO: 'pool-io',
  ...{ ENOSPC: 'no-space', EDQUOT: 'no-space' },
  ...{ EROFS: 'pool-readonly', EACCES: 'pool-readonly', EPERM: 'pool-readonly' },
  ...{ ESTALE: 'pool-away', ENODEV: 'pool-away', ENOTCONN: 'pool-away', EHOSTDOWN: 'pool-away', ETIMEDOUT: 'pool-away' },
}

/** A file that is not there is one thing, and its whole directory gone another: unmounted, renamed, soon back. */
async function reasonOf(code: string, path: string | undefined): Promise<Reason | undefined> {
  if (code !== 'ENOENT' && code !== 'ENOTDIR') return REASONS[code]
  const directory = path === undefined ? undefined : await fs.stat(dirname(path)).catch(() => undefined)
  return path === undefined || directory?.isDirectory() === true ? 'file-missing' : 'pool-away'
}
