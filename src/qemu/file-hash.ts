/**
 * MD5 and SHA-512 of a large file at once, each in a thread of its own: the event loop stays free. Read past the page cache
 * where the file system can: a copy was written past it, and to fill it with bytes read once costs a third of the hashing
 * and what the guests had in it.
 */
import { Worker } from 'node:worker_threads'
import { unknown } from '../domain/errors.js'

export async function hashFile(path: string, options: { signal: AbortSignal }): Promise<{ md5: string; sha512: string; size: number }> {
  const [md5, sha512] = await Promise.all([digest(path, 'md5', options.signal), digest(path, 'sha512', options.signal)])
  if (md5.size !== sha512.size) throw unknown('the file changed while it was hashed')
  return { md5: md5.hex, sha512: sha512.hex, size: md5.size }
}

async function digest(path: string, algorithm: string, signal: AbortSignal): Promise<{ hex: string; size: number }> {
  const stopped = (): Error => unknown('hashing was stopped', { cause: signal.reason })
  if (signal.aborted) throw stopped()
  const thread = new Worker(`(${threadBody.toString()})()`, { eval: true, workerData: { path, algorithm } })
  let stop: (() => void) | undefined
  try {
    return await new Promise((resolve, reject) => {
      stop = () => reject(stopped())
      signal.addEventListener('abort', stop, { once: true })
      thread.once('message', resolve)
      thread.once('error', (cause) => reject(unknown('hashing failed', { cause })))
      thread.once('exit', () => reject(unknown('the hashing thread ended early')))
    })
  } finally {
    if (stop !== undefined) signal.removeEventListener('abort', stop)
    await thread.terminate()
  }
}

/** Runs in the thread, from its text: it may use nothing of this file, and no function of its own. */
function threadBody(): void {
  const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads')
  const { closeSync, constants, openSync, readSync } = process.getBuiltinModule('node:fs')
  const hash = process.getBuiltinModule('node:crypto').createHash(workerData.algorithm)
  // WebAssembly's memory begins on a page, as reading past the cache demands; a Buffer's does not.
  const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: new (pages: { initial: number }) => { buffer: ArrayBuffer } } }
  const buffer = Buffer.from(new WebAssembly.Memory({ initial: 16 }).buffer)
  let direct: number | undefined
  try {
    direct = openSync(workerData.path, constants.O_RDONLY | constants.O_DIRECT)
  } catch {}
  const cached = openSync(workerData.path, 'r')
  let size = 0
  for (let count = -1; count !== 0; size += count) {
    count = -1
    // Past the last whole MiB, or where a device demands still more, the cache serves.
    if (direct !== undefined && size % buffer.length === 0) {
      try {
        count = readSync(direct, buffer, 0, buffer.length, size)
      } catch {}
    }
    if (count < 0) count = readSync(cached, buffer, 0, buffer.length, size)
    hash.update(buffer.subarray(0, count))
  }
  if (direct !== undefined) closeSync(direct)
  closeSync(cached)
  parentPort?.postMessage({ hex: hash.digest('hex'), size })
}
