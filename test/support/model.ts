/**
 * What disks must hold, remembered apart from the program: a disk is the units ever written to it. Snapshots, clones and
 * images copy the map at the moment they are asked for, since locks queue in the order of acceptance.
 *
 * What the program says is only used to find files; the bytes are compared by qemu-img with a plain file of our own.
 */
import { execFile } from 'node:child_process'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { deviceName, shortId } from '../../src/domain/names.js'
import { personsMonitor } from './people.js'

const run = promisify(execFile)
/** Smaller than a cluster, so that copying the rest of it on a write is seen too. */
export const UNIT = 4096
export const GIB = 2 ** 30

/** Unit number to the byte it is filled with; units not in it read as zeroes. */
export type Content = ReadonlyMap<number, number>
export interface Write {
  readonly offset: number
  readonly length: number
  /** 0 is written as zeroes, which must hide what lies below. */
  readonly byte: number
}

export function written(content: Content, { offset, length, byte }: Write): Content {
  const next = new Map(content)
  for (let unit = offset / UNIT; unit < (offset + length) / UNIT; unit++) byte === 0 ? next.delete(unit) : next.set(unit, byte)
  return next
}

const command = ({ offset, length, byte }: Write): string =>
  byte === 0 ? `write -z ${offset} ${length}` : `write -P ${byte} ${offset} ${length}`

/** Into a disk nobody has open. */
export async function writeFile(path: string, write: Write): Promise<void> {
  const { stdout } = await run('qemu-io', ['-f', 'qcow2', '-c', command(write), '-c', 'flush', path])
  if (!stdout.includes('wrote ')) throw new Error(`qemu-io: ${stdout}`)
}

/** As the guest would, through its device; flushed, since the guest may be killed. */
export async function writeLive(stateDir: string, serverId: string, diskId: string, write: Write): Promise<void> {
  const monitor = await personsMonitor(join(stateDir, 'run', shortId(serverId)))
  try {
    for (const text of [command(write), 'flush']) {
      const line = `qemu-io -d /machine/peripheral/${deviceName(diskId)}/virtio-backend "${text}"`
      const said = await monitor.execute('human-monitor-command', { 'command-line': line })
      if (/error|fail|not found/i.test(String(said))) throw new Error(`${line}: ${said}`)
    }
  } finally {
    monitor.close()
  }
}

/** The first difference as qemu-img words it, or undefined. */
export async function difference(
  content: Content,
  path: string,
  format: string,
  virtualSize: number,
  scratch: string,
): Promise<string | undefined> {
  const file = await open(scratch, 'w', 0o600)
  try {
    await file.truncate(virtualSize)
    for (const [unit, byte] of content) await file.write(Buffer.alloc(UNIT, byte), 0, UNIT, unit * UNIT)
  } finally {
    await file.close()
  }
  try {
    await run('qemu-img', ['compare', '-U', '-f', 'raw', '-F', format, scratch, path])
    return undefined
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    return `${stdout}${stderr}`
  } finally {
    await rm(scratch, { force: true })
  }
}

/** Repeatable chance: the seed is all there is to say about a run. */
export function dice(seed: number) {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    below: (limit: number): number => Math.floor(next() * limit),
    chance: (share: number): boolean => next() < share,
    pick: <T>(list: readonly T[]): T | undefined => list[Math.floor(next() * list.length)],
  }
}
export type Dice = ReturnType<typeof dice>
