/** Files whose every byte we know, made by qemu's own tools once and copied from then on. */
import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { copyFile, mkdtemp, open, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** MiB number → byte it is filled with; what is not named reads zero. */
export type Content = ReadonlyMap<number, number>

/** In place of a byte: a write that was cut off. */
export const ANYTHING = -1

/** Every layer's name is as long as this, so that one name can be written over another in a header. */
const SOME_NAME = `${'0'.repeat(36)}.qcow2`

let place: Promise<string> | undefined
/** A directory for what is made once; it goes with the process. */
export async function scratch(): Promise<string> {
  place ??= mkdtemp('/tmp/st-').then((dir) => {
    process.once('exit', () => rmSync(dir, { recursive: true, force: true }))
    return dir
  })
  return await place
}

const made = new Map<string, Promise<string>>()

export async function makeImage(path: string, mib: number, backing: string | null, content: Content): Promise<void> {
  if (backing !== null && backing.length !== SOME_NAME.length) throw new Error(`${backing} is not named like a layer`)
  const key = JSON.stringify([mib, backing !== null, ...content])
  let original = made.get(key)
  if (original === undefined) {
    original = make(join(await scratch(), `${made.size}-${basename(path)}`), mib, backing === null ? null : SOME_NAME, content)
    made.set(key, original)
  }
  await copyFile(await original, path)
  if (backing !== null) await standOn(path, backing)
}

export async function makeRaw(path: string, mib: number, content: Content): Promise<void> {
  const bytes = Buffer.alloc(mib * 2 ** 20)
  for (const [block, byte] of content) bytes.fill(byte, block * 2 ** 20, (block + 1) * 2 ** 20)
  await writeFile(path, bytes)
}

async function make(path: string, mib: number, backing: string | null, content: Content): Promise<string> {
  if (backing !== null) {
    blank ??= run('qemu-img', ['create', '-q', '-f', 'qcow2', join(await scratch(), backing), `${mib}M`])
    await blank
  }
  await run('qemu-img', ['create', '-q', '-u', '-f', 'qcow2', ...(backing === null ? [] : ['-F', 'qcow2', '-b', backing]), path, `${mib}M`])
  const writes = [...content].flatMap(([block, byte]) => ['-c', `write -q -P ${byte} ${block}M 1M`])
  if (writes.length > 0) await run('qemu-io', ['-f', 'qcow2', ...writes, path])
  return path
}
/** What the originals stand on while they are written. */
let blank: Promise<unknown> | undefined

/** The backing name lies where bytes 8 to 19 of a qcow2 header say. */
async function standOn(path: string, backing: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const header = Buffer.alloc(20)
    await file.read(header, 0, 20, 0)
    if (header.readUInt32BE(16) !== backing.length) throw new Error(`${path} has another backing name`)
    await file.write(backing, Number(header.readBigUInt64BE(8)))
  } finally {
    await file.close()
  }
}
