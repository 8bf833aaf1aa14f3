/** Files that are there after a power cut: data first, then the directory that names them. */
import { constants, promises as fs } from 'node:fs'
import { dirname } from 'node:path'

/** What `fdatasync` leaves out, a directory's entry, is what makes a new or renamed file findable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await fs.open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export async function syncFile(path: string): Promise<void> {
  const handle = await fs.open(path, constants.O_RDWR | constants.O_NOFOLLOW)
  try {
    await handle.datasync()
  } finally {
    await handle.close()
  }
  await syncDirectory(dirname(path))
}

export async function unlinkDurably(path: string): Promise<void> {
  try {
    await fs.unlink(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return
    throw error
  }
  await syncDirectory(dirname(path))
}

/**
 * Of a file already moved it succeeds, over another file it does not. Into another file system the bytes are copied to
 * `<to>.part` first, so that `to` is whole whenever it is there; cut off, the copy is begun anew.
 */
export async function renameDurably(from: string, to: string): Promise<void> {
  const [source, target] = await Promise.all([statOf(from), statOf(to)])
  if (source === undefined && target === undefined) throw Object.assign(new Error('nothing to rename'), { code: 'ENOENT' })
  if (source !== undefined) {
    const same = target !== undefined && target.ino === source.ino && target.dev === source.dev
    if (target !== undefined && !same) throw Object.assign(new Error('another file has that name'), { code: 'EEXIST' })
    // rename(2) of two names of one file does nothing at all.
    if (same && from !== to) await fs.unlink(from)
    else
      await fs.rename(from, to).catch(async (error: unknown) => {
        if (errorCode(error) !== 'EXDEV') throw error
        await copyAcross(from, to)
      })
  }
  const directories = new Set([dirname(from), dirname(to)])
  await Promise.all([...directories].map(syncDirectory))
}

async function copyAcross(from: string, to: string): Promise<void> {
  const part = `${to}.part`
  try {
    await fs.copyFile(from, part)
    await syncFile(part)
    await fs.rename(part, to)
  } catch (error) {
    await fs.rm(part, { force: true })
    throw error
  }
  await syncDirectory(dirname(to))
  await fs.unlink(from)
}

export async function statOf(path: string): Promise<import('node:fs').Stats | undefined> {
  try {
    return await fs.lstat(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

export const errorCode = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
