/**
 * A guest of nineteen bytes: a boot sector that puts a mark in memory and counts up beside it for ever. Its count is in no
 * file, so whoever finds it going on from where it was has the guest's memory back. Read through the people's monitor.
 */
import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { shortId } from '../../src/domain/names.js'
import { personsMonitor } from './people.js'

const AT = 0x8000
const MARK = 'STRA'

/** xor ax,ax; mov ds,ax; mov dword [8004h],"STRA"; again: inc dword [8000h]; jmp again */
const CODE = [
  ...[0x31, 0xc0, 0x8e, 0xd8, 0x66, 0xc7, 0x06, 0x04, 0x80, ...Buffer.from(MARK)],
  ...[0x66, 0xff, 0x06, 0x00, 0x80, 0xeb, 0xf9],
]

/** Over a closed qcow2's first sector. */
export async function writeCounter(path: string): Promise<void> {
  const sector = Buffer.alloc(512)
  Buffer.from(CODE).copy(sector)
  sector.set([0x55, 0xaa], 510)
  await writeFile(`${path}.boot`, sector)
  await promisify(execFile)('qemu-io', ['-f', 'qcow2', '-c', `write -s ${path}.boot 0 512`, path])
  await rm(`${path}.boot`)
}

/** Undefined until it counts. */
export async function countOf(stateDir: string, serverId: string): Promise<number | undefined> {
  const people = await personsMonitor(join(stateDir, 'run', shortId(serverId)))
  const dump = join(stateDir, `${serverId}.dump`)
  try {
    await people.execute('pmemsave', { val: AT, size: 8, filename: dump })
    const bytes = await readFile(dump)
    return bytes.subarray(4).toString('latin1') === MARK ? bytes.readUInt32LE(0) : undefined
  } finally {
    people.close()
    await rm(dump, { force: true })
  }
}
