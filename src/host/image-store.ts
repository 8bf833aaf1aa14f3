/**
 * Image bytes on the local file system. Staging files live below the state directory, 0600, one per upload attempt, named
 * after it and the process that took it; while an upload holds one it touches the file every few seconds. So a sweep can
 * tell a slow upload from a stuck one, and both from one whose process is gone.
 * Hashing happens while the previous chunk is on its way to the disk: the write costs the thread pool, the hash us.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type FileHandle, open, readFile, stat, unlink } from 'node:fs/promises'
import { isAbsolute, join, relative } from 'node:path'
import type { Readable } from 'node:stream'
import { DomainError } from '../domain/errors.js'
import type { ImageStore, Received } from '../ports/image-store.js'

const TOUCH_EVERY_MS = 5_000

export function createImageStore(options: { stagingDir: string }): ImageStore {
  const inStaging = (path: string): string => {
    const name = relative(options.stagingDir, path)
    if (name === '' || name.includes('/') || name.startsWith('.') || isAbsolute(name)) throw new TypeError('not a staging file')
    return path
  }
  const owner = `${process.pid}-${startTime(readFileSync('/proc/self/stat', 'utf8'))}`
  return {
    stagingPath: (imageId, uploadId) => join(options.stagingDir, `${imageId}-${uploadId}-${owner}.part`),
    async receive(path, source, limit) {
      const file = await open(inStaging(path), 'wx', 0o600)
      const touch = setInterval(() => void file.utimes(new Date(), new Date()).catch(() => {}), TOUCH_EVERY_MS)
      try {
        const received = await copyHashed(source, file, limit)
        await file.sync()
        await syncDirectory(options.stagingDir)
        return received
      } finally {
        clearInterval(touch)
        await file.close()
      }
    },
    removeStaging: async (path) => await unlink(inStaging(path)).catch(ignoreMissing),
    async idleFor(path) {
      const found = await stat(inStaging(path)).catch(ignoreMissing)
      return found === undefined ? undefined : Math.max(0, Date.now() - found.mtimeMs)
    },
    async isOrphaned(path) {
      const [, pid, started] = /-(\d+)-(\d+)\.part$/.exec(inStaging(path)) ?? []
      if (pid === undefined) return false
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(ignoreMissing)
      return stat === undefined || startTime(stat) !== started
    },
    async read(path, range): Promise<Readable> {
      const file = await open(path, 'r')
      return file.createReadStream({ start: range.first, end: range.last, highWaterMark: 256 * 1024 })
    },
    async length(path) {
      return (await stat(path).catch(ignoreMissing))?.size
    },
  }
}

/** Clock ticks since boot: with the pid it names a process beyond doubt. Its name, in parentheses, may hold anything. */
function startTime(stat: string): string | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

async function copyHashed(source: AsyncIterable<Uint8Array>, file: FileHandle, limit: number): Promise<Received> {
  const md5 = createHash('md5')
  const sha512 = createHash('sha512')
  let size = 0
  let writing: Promise<void> = Promise.resolve()
  try {
    for await (const chunk of source) {
      size += chunk.byteLength
      if (size > limit) throw new DomainError('tooLarge', `The image is larger than the limit of ${limit} bytes.`)
      await writing
      writing = writeAll(file, chunk)
      // The failure is seen at the next await; without this a rejection in between would count as unhandled.
      writing.catch(() => {})
      md5.update(chunk)
      sha512.update(chunk)
    }
  } finally {
    await writing
  }
  return { size, md5: md5.digest('hex'), sha512: sha512.digest('hex') }
}

/** `write` may take fewer bytes than it was given: a full disk, a signal. */
async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.byteLength; ) done += (await file.write(chunk, done)).bytesWritten
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined
  throw error
}
