/**
 * What the guest wrote, read from a disk image by tools that know nothing of the service: qemu-img makes a plain disk of it,
 * e2fsck looks at the file system and debugfs reads the journal of writes out of it.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Tenant } from './tenant.js'

const run = promisify(execFile)

export interface Journal {
  /** Number of the last whole record; all before it are there, each with its checksum right. */
  readonly last: number
  readonly isWhole: boolean
  /** e2fsck found nothing to do, not even a journal to replay. */
  readonly isClean: boolean
}

export async function readJournal(qcow2: string): Promise<Journal> {
  const directory = await mkdtemp(join(tmpdir(), 'strata-demo-read-'))
  const raw = join(directory, 'disk.raw')
  try {
    await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', qcow2, raw])
    const check = await tool('e2fsck', ['-fn', raw])
    // As a mount would after a crash; of a clean file system it does nothing.
    await tool('e2fsck', ['-fp', raw])
    const { stdout } = await run('debugfs', ['-R', 'cat /log', raw], { maxBuffer: 2 ** 28 })
    const lines = stdout.split('\n').filter((line) => line !== '')
    const numbers = lines.map(recordNumber)
    return {
      last: Number(numbers.at(-1) ?? 0),
      isWhole: numbers.length > 0 && numbers.every((n, index) => n === index + 1),
      isClean: check.code === 0 && !/recover/i.test(check.text),
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** The last write the guest announced as being on its disk. */
export async function lastAcknowledged(tenant: Tenant, serverId: string, disk: string): Promise<number> {
  const matches = [...(await tenant.console(serverId)).matchAll(new RegExp(`^ACK ${disk} (\\d+)\\r?$`, 'gm'))]
  return Number(matches.at(-1)?.[1] ?? 0)
}

export async function untilAcknowledged(tenant: Tenant, serverId: string, disk: string, least: number): Promise<number> {
  for (const deadline = Date.now() + 180_000; ; await sleep(100)) {
    const last = await lastAcknowledged(tenant, serverId, disk)
    if (last >= least) return last
    if (Date.now() > deadline)
      throw new Error(`the guest does not write to ${disk}; its console ends with:\n${(await tenant.console(serverId)).slice(-1500)}`)
  }
}

/** A line is a number and what a checksum of it must be; NaN if it is not. */
function recordNumber(line: string): number {
  const [n = '', sum] = line.split(' ')
  return /^\d+$/.test(n) && sum === String((BigInt(n) * 2654435761n + 40503n) & 0xffff_ffffn) ? Number(n) : Number.NaN
}

async function tool(name: string, args: readonly string[]): Promise<{ code: number; text: string }> {
  return await run(name, [...args]).then(
    ({ stdout, stderr }) => ({ code: 0, text: stdout + stderr }),
    (error: { code: number; stdout?: string; stderr?: string }) => {
      if (typeof error.code !== 'number') throw error
      return { code: error.code, text: `${error.stdout ?? ''}${error.stderr ?? ''}` }
    },
  )
}
