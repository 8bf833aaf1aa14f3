/** The serial log as it is shown: its newest part, so much and no more, for the guest writes what it likes. */
import { open } from 'node:fs/promises'

const SHOWN = 1024 * 1024

export async function readConsole(path: string, lines?: number): Promise<string> {
  const text = await readTail(path)
  if (lines === undefined) return text
  if (lines <= 0) return ''
  const rows = text.split('\n')
  // A final line end does not start a line of its own.
  const ended = rows.at(-1) === '' ? rows.slice(0, -1) : rows
  return ended.slice(-lines).join('\n') + (rows.at(-1) === '' && ended.length > 0 ? '\n' : '')
}

async function readTail(path: string): Promise<string> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (file === undefined) return ''
  try {
    const { size } = await file.stat()
    const length = Math.min(size, SHOWN)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}
