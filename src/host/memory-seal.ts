/**
 * The MemoryFiles port: saved memory gets its name only when it is on disk, and a seal by which any change is seen. What is
 * sealed is the state's id (or one guest's memory could be put in another's place), what it is bound to, and every byte.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AdapterError, refused, unknown } from '../domain/errors.js'
import type { MemoryBinding } from '../domain/memory-state.js'
import type { MemoryFiles } from '../ports/memory.js'
import { newestKey, readKey } from './memory-keys.js'

const CHUNK = 1024 * 1024

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
  const hmac = createHmac('sha256', key)
  hmac.update(`${id}\n${canonical(binding)}\n`)
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw refused('saved memory cannot be read', { cause })
  })
  const buffer = Buffer.allocUnsafe(CHUNK)
  let size = 0
  try {
    for (;;) {
      if (signal.aborted) throw unknown('reading saved memory was stopped', { cause: signal.reason })
      const { bytesRead } = await file.read(buffer, 0, CHUNK, size)
      if (bytesRead === 0) return { mac: hmac.digest(), size }
      hmac.update(buffer.subarray(0, bytesRead))
      size += bytesRead
    }
  } catch (cause) {
    throw cause instanceof AdapterError ? cause : refused('saved memory cannot be read', { cause, reason: 'pool-io' })
  } finally {
    await file.close()
  }
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
