/**
 * The MemoryFiles port: saved memory gets its name only when it is on disk, and a seal by which any change is seen. What is
 * sealed is the state's id (or one guest's memory could be put in another's place), what it is bound to, and every byte.
 */
import { timingSafeEqual } from 'node:crypto'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { AdapterError, refused, unknown } from '../domain/errors.js'
import type { MemoryBinding } from '../domain/memory-state.js'
import type { MemoryFiles } from '../ports/memory.js'
import { newestKey, readKey } from './memory-keys.js'

export function createMemoryFiles({ stateDir }: { stateDir: string }): MemoryFiles {
  return {
    async probe(path) {
      if (await exists(path)) return 'done'
      return (await exists(part(path))) ? 'partial' : 'absent'
    },
    publish: (path) =>
      onDisk(async () => {
        if (await exists(path)) return
        await sync(part(path))
        await rename(part(path), path)
        await sync(dirname(path))
      }),
    remove: (path) =>
      onDisk(async () => {
        await rm(part(path), { force: true })
        await rm(path, { force: true })
        await sync(dirname(path))
      }),
    async seal(state, path, { signal }) {
      const { id: keyId, key } = await newestKey(stateDir)
      const { mac, size } = await macOf(key, state, path, signal)
      return { keyId, mac: mac.toString('hex'), size }
    },
    async check(state, path, { signal }) {
      if (!(await exists(path))) return 'missing'
      const key = await readKey(stateDir, state.keyId)
      const kept = Buffer.from(state.mac, 'hex')
      if (key === undefined || kept.length !== 32) return 'changed'
      const { mac } = await macOf(key, state, path, signal)
      return timingSafeEqual(mac, kept) ? 'intact' : 'changed'
    },
  }
}

async function macOf(
  key: Buffer,
  { id, binding }: { readonly id: string; readonly binding: MemoryBinding },
  path: string,
  signal: AbortSignal,
): Promise<{ mac: Buffer; size: number }> {
  const stopped = (): Error => unknown('reading saved memory was stopped', { cause: signal.reason })
  if (signal.aborted) throw stopped()
  const workerData = { path, key: key.toString('hex'), head: `${id}\n${canonical(binding)}\n` }
  // As large as a guest's memory: read elsewhere, the event loop stays free.
  const thread = new Worker(`(${threadBody.toString()})()`, { eval: true, workerData })
  let stop: (() => void) | undefined
  try {
    const { mac, size } = await new Promise<{ mac: string; size: number }>((resolve, reject) => {
      stop = () => reject(stopped())
      signal.addEventListener('abort', stop, { once: true })
      thread.once('message', resolve)
      thread.once('error', (cause) => reject(refused('saved memory cannot be read', { cause, reason: 'pool-io' })))
      thread.once('exit', () => reject(unknown('the thread that reads saved memory ended early')))
    })
    return { mac: Buffer.from(mac, 'hex'), size }
  } finally {
    if (stop !== undefined) signal.removeEventListener('abort', stop)
    await thread.terminate()
  }
}

/** Runs in the thread, from its text: it may use nothing of this file. */
function threadBody(): void {
  const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads')
  const { closeSync, openSync, readSync } = process.getBuiltinModule('node:fs')
  const hmac = process.getBuiltinModule('node:crypto').createHmac('sha256', Buffer.from(workerData.key, 'hex'))
  hmac.update(workerData.head)
  const file = openSync(workerData.path, 'r')
  const buffer = Buffer.allocUnsafe(1024 * 1024)
  let size = 0
  for (let count = readSync(file, buffer); count > 0; count = readSync(file, buffer)) {
    hmac.update(buffer.subarray(0, count))
    size += count
  }
  closeSync(file)
  parentPort?.postMessage({ mac: hmac.digest('hex'), size })
}

/** The same text whatever order a database gives the keys back in. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one) ? Object.fromEntries(Object.entries(one).sort()) : one,
  )

const part = (path: string): string => `${path}.part`

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw refused('the place of saved memory cannot be looked at', { cause: error, reason: 'pool-away' })
    },
  )

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r')
  await handle.sync().finally(() => handle.close())
}

async function onDisk(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (cause) {
    if (cause instanceof AdapterError) throw cause
    const { code } = cause as NodeJS.ErrnoException
    const reason = code === 'ENOSPC' || code === 'EDQUOT' ? 'no-space' : code === 'EROFS' ? 'pool-readonly' : 'pool-io'
    throw refused('saved memory could not be put in its place', { cause, reason })
  }
}
