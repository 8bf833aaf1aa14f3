/**
 * The serial log. It is shown by its newest part, so much and no more, and kept within bounds: the guest writes what it
 * likes for as long as it likes. QEMU has the file open for appending, so it is cut where it lies, and its end is put
 * beside it as `<log>.earlier` first: what is shown stays the same. A byte written in the instant between may be lost.
 */
import { open, rename, rm, writeFile } from 'node:fs/promises'

const SHOWN = 1024 * 1024
/** Cut beyond this; until it is looked at again it may grow further. */
const LONGEST = 8 * SHOWN

export async function readConsole(path: string, lines?: number): Promise<string> {
  const text = (await readTail(path)).toString('utf8')
  if (lines === undefined) return text
  if (lines <= 0) return ''
  const rows = text.split('\n')
  // A final line end does not start a line of its own.
  const ended = rows.at(-1) === '' ? rows.slice(0, -1) : rows
  return ended.slice(-lines).join('\n') + (rows.at(-1) === '' && ended.length > 0 ? '\n' : '')
}

export async function boundConsole(path: string, longest = LONGEST): Promise<void> {
  const file = await open(path, 'r+').catch(missing)
  try {
    if (file === undefined || (await file.stat()).size <= longest) return
    // Whole under its name, or not there: a reader never finds half of it.
    await writeFile(`${earlier(path)}.part`, await readEnd(path), { mode: 0o600 })
    await rename(`${earlier(path)}.part`, earlier(path))
    await file.truncate(0)
  } finally {
    await file?.close()
  }
}

/** Before a run: one log of the run before is kept. */
export async function rotateConsole(path: string): Promise<void> {
  await rename(path, `${path}.1`).catch(missing)
  await rm(earlier(path), { force: true })
  await writeFile(path, '', { mode: 0o600, flag: 'wx' })
}

export async function forgetConsole(path: string): Promise<void> {
  for (const one of [path, `${path}.1`, earlier(path), `${earlier(path)}.part`]) await rm(one, { force: true })
}

const earlier = (path: string): string => `${path}.earlier`

async function readTail(path: string): Promise<Buffer> {
  const now = await readEnd(path)
  if (now.length >= SHOWN) return now
  const before = await readEnd(earlier(path))
  return Buffer.concat([before.subarray(Math.max(0, before.length + now.length - SHOWN)), now])
}

async function readEnd(path: string): Promise<Buffer> {
  const file = await open(path, 'r').catch(missing)
  if (file === undefined) return Buffer.alloc(0)
  try {
    const { size } = await file.stat()
    const length = Math.min(size, SHOWN)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
