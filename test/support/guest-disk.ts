/**
 * Reads what the tiny guest wrote, from the disk image alone: no mount, no root, nothing of the program under test.
 * The image's view is copied raw, checked as it is, then its journal is replayed on the copy, as a mount would do.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface DiskLayer {
  readonly path: string
  readonly format: 'qcow2' | 'raw'
}

export interface GuestDiskContents {
  /** The file system needs no repair, not even a replay of its journal: as after a freeze or an unmount. */
  readonly clean: boolean
  /** After replaying the journal nothing was wrong: what a mount after a crash finds. */
  readonly consistent: boolean
  /** Numbers of the records whose checksum is right, in order. */
  readonly records: readonly number[]
  /** The last of them, 0 when there is none: every write acknowledged up to it is there. */
  readonly last: number
  /** Every whole line is a record with a right checksum, each number one more than the one before. */
  readonly intact: boolean
  /** The first lines that are not, for whoever reads of a failure. */
  readonly odd: readonly string[]
  /** After the last of them comes the beginning of one that was on its way: a power cut may leave that, a freeze never. */
  readonly torn: boolean
}

/** `chain` from top to base. */
export async function readGuestDisk(chain: readonly DiskLayer[]): Promise<GuestDiskContents> {
  const directory = await mkdtemp(join(tmpdir(), 'disk-'))
  const raw = join(directory, 'view.raw')
  try {
    await run('qemu-img', ['convert', '-O', 'raw', viewOf(chain), raw])
    const before = await e2fsck('-fn', raw)
    const replayed = await e2fsck('-fy', raw)
    const { stdout } = await run('debugfs', ['-R', 'cat /log', raw], { maxBuffer: 256 * 1024 * 1024 })
    const all = stdout.split('\n').filter((line) => line !== '')
    const torn = !stdout.endsWith('\n') && recordNumber(all.at(-1) ?? '') === undefined && all.length > 0
    const lines = torn ? all.slice(0, -1) : all
    const records = lines.flatMap((line) => recordNumber(line) ?? [])
    const odd = lines.filter((line, index) => recordNumber(line) === undefined || recordNumber(line) !== (records[0] ?? 0) + index)
    return {
      torn,
      odd: odd.slice(0, 5),
      clean: before.code === 0 && !/recover/i.test(before.text),
      consistent: replayed.code <= 1,
      records,
      last: records.at(-1) ?? 0,
      intact: odd.length === 0,
    }
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** Numbers the guest announced on its serial line for one disk. */
export function acknowledged(console: string, disk: string): number[] {
  return [...console.matchAll(new RegExp(`^ACK ${disk} (\\d+)\\r?$`, 'gm'))].map((match) => Number(match[1]))
}

function recordNumber(line: string): number | undefined {
  const [number, sum] = line.split(' ')
  const expected = (BigInt(number?.match(/^\d+$/) ? number : 0) * 2654435761n + 40503n) & 0xffff_ffffn
  return number !== undefined && sum === String(expected) ? Number(number) : undefined
}

function viewOf(chain: readonly DiskLayer[]): string {
  const view = chain.reduceRight<object | null>((backing, { path, format }) => {
    const node = { driver: format, file: { driver: 'file', filename: path } }
    return format === 'raw' ? node : { ...node, backing }
  }, null)
  return `json:${JSON.stringify(view)}`
}

/** 0 nothing wrong, 1 repaired (a replayed journal counts), 4 and more: errors left. */
async function e2fsck(flags: string, image: string): Promise<{ code: number; text: string }> {
  try {
    const { stdout, stderr } = await run('e2fsck', [flags, image])
    return { code: 0, text: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    if (typeof code !== 'number') throw error
    return { code, text: stdout + stderr }
  }
}
