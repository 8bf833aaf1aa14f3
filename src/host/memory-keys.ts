/**
 * The keys saved memory is sealed with: files below `<state>/keys`, for our eyes only, named by when they were made. New
 * states use the newest; old ones stay, or what was sealed with them could not be told from what was changed.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

const NAME = /^([0-9]{15}-[0-9a-f]{8})\.key$/
const BYTES = 32

export const keysDir = (stateDir: string): string => join(stateDir, 'keys')

/** Newest first. */
export async function keyIds(stateDir: string): Promise<string[]> {
  const names = await readdir(keysDir(stateDir)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return []
  })
  return names
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .sort()
    .reverse()
}

export async function readKey(stateDir: string, id: string): Promise<Buffer | undefined> {
  if (!NAME.test(`${id}.key`)) return undefined
  const text = await readFile(join(keysDir(stateDir), `${id}.key`), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return ''
  })
  // One that was cut off while it was written was never used.
  return /^[0-9a-f]{64}\n$/.test(text) ? Buffer.from(text.trim(), 'hex') : undefined
}

/** The one new states are sealed with; made if there is none. */
export async function newestKey(stateDir: string): Promise<{ id: string; key: Buffer }> {
  for (const id of await keyIds(stateDir)) {
    const key = await readKey(stateDir, id)
    if (key !== undefined) return { id, key }
  }
  return await makeKey(stateDir)
}

/** From now on this is the newest. */
export async function makeKey(stateDir: string): Promise<{ id: string; key: Buffer }> {
  const directory = keysDir(stateDir)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const [last = '0'] = await keyIds(stateDir)
  // Later than any other, whatever the clock says.
  const time = Math.max(Date.now(), Number(last.split('-')[0]) + 1)
  const id = `${String(time).padStart(15, '0')}-${randomBytes(4).toString('hex')}`
  const key = randomBytes(BYTES)
  const file = await open(join(directory, `${id}.key`), 'wx', 0o600)
  try {
    await file.writeFile(`${key.toString('hex')}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  const handle = await open(directory, 'r')
  await handle.sync().finally(() => handle.close())
  return { id, key }
}
