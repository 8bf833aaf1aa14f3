import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdapterError, DomainError } from '../../src/domain/errors.js'
import { createImageInspector, readUntrusted } from '../../src/qemu/inspector.js'

const GIB = 1024 ** 3
const limits = { maxVirtualSize: 100 * GIB }
const inspector = createImageInspector()
let directory: string
let valid: Buffer
let count = 0

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'insp-'))
  valid = readFileSync(qemuImg('create', '-f', 'qcow2', 'PATH', '1G'))
})
afterAll(() => rmSync(directory, { recursive: true }))

function qemuImg(...args: string[]): string {
  const path = fresh()
  execFileSync(
    'qemu-img',
    args.map((arg) => (arg === 'PATH' ? path : arg)),
    { stdio: 'ignore' },
  )
  return path
}
const fresh = (): string => join(directory, `f${count++}`)

function file(bytes: Buffer | string): string {
  const path = fresh()
  writeFileSync(path, bytes)
  return path
}

/** A copy of the valid image with some bytes changed. */
function patched(change: (bytes: Buffer) => void): string {
  const bytes = Buffer.from(valid)
  change(bytes)
  return file(bytes)
}

function withExtension(type: number, data: string): string {
  return patched((bytes) => {
    const start = bytes.readUInt32BE(100)
    bytes.fill(0, start, start + 512)
    bytes.writeUInt32BE(type, start)
    bytes.writeUInt32BE(data.length, start + 4)
    bytes.write(data, start + 8)
  })
}

async function refusal(path: string, declared: 'qcow2' | 'raw'): Promise<string> {
  const error = await inspector.inspect(path, declared, limits).then(
    () => undefined,
    (cause: unknown) => cause,
  )
  expect(error).toBeInstanceOf(DomainError)
  expect((error as DomainError).kind).toBe('invalid')
  expect((error as DomainError).message).not.toContain(directory)
  return (error as DomainError).message
}

describe('accepts what is one self-contained disk', () => {
  it.each([
    ['of version 3', ['create', '-f', 'qcow2', 'PATH', '1G']],
    ['of version 2', ['create', '-f', 'qcow2', '-o', 'compat=0.10', 'PATH', '1G']],
    ['with clusters of 2 MiB', ['create', '-f', 'qcow2', '-o', 'cluster_size=2M', 'PATH', '1G']],
    ['with clusters of 512 bytes', ['create', '-f', 'qcow2', '-o', 'cluster_size=512', 'PATH', '1G']],
    ['with refcounts of one bit', ['create', '-f', 'qcow2', '-o', 'refcount_bits=1', 'PATH', '1G']],
    ['with preallocated metadata', ['create', '-f', 'qcow2', '-o', 'preallocation=metadata', 'PATH', '1G']],
  ])('a qcow2 %s', async (_, args) => {
    expect(await inspector.inspect(qemuImg(...args), 'qcow2', limits)).toEqual({ virtualSize: GIB })
  })

  it('a compressed qcow2 with data', async () => {
    const raw = file(Buffer.alloc(3 * 1024 * 1024, 'strata '))
    const path = qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', raw, 'PATH')
    expect(await inspector.inspect(path, 'qcow2', limits)).toEqual({ virtualSize: 3 * 1024 * 1024 })
  })

  it('raw bytes of any length, in whole sectors', async () => {
    expect(await inspector.inspect(file('abc'), 'raw', limits)).toEqual({ virtualSize: 512 })
    expect(await inspector.inspect(file(Buffer.alloc(4096, 7)), 'raw', limits)).toEqual({ virtualSize: 4096 })
  })

  it('a raw disk with a boot sector, a GUID partition table or an ISO file system', async () => {
    const disk = Buffer.alloc(1024 * 1024)
    disk.writeUInt16LE(0xaa55, 510)
    disk.write('EFI PART', 512)
    disk.write('CD001', 0x8001)
    expect(await inspector.inspect(file(disk), 'raw', limits)).toEqual({ virtualSize: disk.length })
  })
})

describe('refuses a raw image that contains the header of another format', () => {
  const vdi = Buffer.alloc(1024)
  vdi.writeUInt32LE(0xbeda107f, 0x40)
  it.each([
    ['qcow2', Buffer.from('QFI\xfb\0\0\0\x03', 'latin1')],
    ['qcow2', Buffer.from('QFI\xfb\0\0\0\x01', 'latin1')],
    ['VMDK', Buffer.from('KDMV\x01\0\0\0')],
    ['VMDK', Buffer.from('COWD\x01\0\0\0')],
    ['VMDK', Buffer.from('# Disk DescriptorFile\nversion=1\nRW 1 FLAT "/etc/shadow" 0\n')],
    ['VMDK', Buffer.from('\n  \n# harmless\nversion=1\nRW 1 FLAT "/etc/shadow" 0\n')],
    ['VHD', Buffer.from('conectix\0\0\0\x02')],
    ['VHD', Buffer.concat([Buffer.alloc(4096), Buffer.from('conectix'), Buffer.alloc(504)])],
    ['VHDX', Buffer.from('vhdxfile')],
    ['VDI', vdi],
    ['QED', Buffer.from('QED\0\0\x10')],
    ['LUKS', Buffer.from('LUKS\xba\xbe\0\x02', 'latin1')],
  ])('%s', async (format, bytes) => {
    expect(await refusal(file(bytes), 'raw')).toContain(`declared as raw but contains the header of ${format}`)
  })
})

describe('refuses a qcow2', () => {
  it.each<[string, () => string]>([
    ['backing file', () => qemuImg('create', '-u', '-f', 'qcow2', '-F', 'raw', '-b', '/etc/passwd', 'PATH', '1G')],
    ['backing file', () => patched((bytes) => bytes.writeUInt32BE(9, 16))],
    ['external data file', () => patched((bytes) => bytes.writeBigUInt64BE(4n, 72))],
    ['external data file', () => withExtension(0x44415441, '/etc/passwd')],
    ['external data file', () => patched((bytes) => bytes.writeBigUInt64BE(2n, 88))],
    ['format of a backing file', () => withExtension(0xe2792aca, 'raw')],
    ['encrypted', () => patched((bytes) => bytes.writeUInt32BE(1, 32))],
    ['encrypted', () => withExtension(0x0537be77, 'x'.repeat(16))],
    ['corrupt', () => patched((bytes) => bytes.writeBigUInt64BE(2n, 72))],
    ['closed cleanly', () => patched((bytes) => bytes.writeBigUInt64BE(1n, 72))],
    ['not supported', () => patched((bytes) => bytes.writeBigUInt64BE(16n, 72))],
    ['not supported', () => patched((bytes) => bytes.writeBigUInt64BE(1n << 63n, 72))],
    ['compression type', () => patched((bytes) => bytes.writeUInt8(1, 104))],
    ['version 4', () => patched((bytes) => bytes.writeUInt32BE(4, 4))],
    ['cluster size', () => patched((bytes) => bytes.writeUInt32BE(8, 20))],
    ['cluster size', () => patched((bytes) => bytes.writeUInt32BE(63, 20))],
    ['virtual size is larger', () => qemuImg('create', '-f', 'qcow2', 'PATH', '101G')],
    ['virtual size is larger', () => patched((bytes) => bytes.writeBigUInt64BE(2n ** 63n, 24))],
    ['L1 table is out of range', () => patched((bytes) => bytes.writeUInt32BE(0xffffffff, 36))],
    ['L1 table is out of range', () => patched((bytes) => bytes.writeUInt32BE(1, 36))],
    ['L1 table lies outside', () => patched((bytes) => bytes.writeBigUInt64BE(2n ** 62n, 40))],
    ['L1 table lies outside', () => patched((bytes) => bytes.writeBigUInt64BE(0n, 40))],
    ['refcount table is out of range', () => patched((bytes) => bytes.writeUInt32BE(0xffffffff, 56))],
    ['refcount table lies outside', () => patched((bytes) => bytes.writeBigUInt64BE(2n ** 40n, 48))],
    ['refcount width', () => patched((bytes) => bytes.writeUInt32BE(7, 96))],
    ['internal snapshots', () => patched((bytes) => bytes.writeUInt32BE(65536, 60))],
    ['dirty bitmaps', () => withExtension(0x23852875, 'b'.repeat(24))],
    ['header length', () => patched((bytes) => bytes.writeUInt32BE(0x7ffffff8, 100))],
    ['header length', () => patched((bytes) => bytes.writeUInt32BE(8, 100))],
    ['longer than its place', () => patched((bytes) => bytes.writeUInt32BE(0xfffffff0, 116))],
    ['truncated', () => file(valid.subarray(0, 60))],
    ['truncated', () => file(valid.subarray(0, 90))],
    ['L1 table lies outside', () => file(valid.subarray(0, 3 * 65536))],
    ['not a qcow2', () => file(Buffer.alloc(65536))],
    ['not a qcow2', () => file('')],
    ['an ISO 9660', () => patched((bytes) => bytes.write('CD001', 0x8001))],
    ['GUID partition table', () => patched((bytes) => bytes.write('EFI PART', 512))],
    ['VDI', () => patched((bytes) => bytes.writeUInt32LE(0xbeda107f, 0x40))],
  ])('whose fault is: %s', async (reason, make) => {
    expect(await refusal(make(), 'qcow2')).toContain(reason)
  })

  it('that was cut off in the middle of its data', async () => {
    const path = qemuImg('convert', '-f', 'raw', '-O', 'qcow2', file(Buffer.alloc(3 * 1024 * 1024, 1)), 'PATH')
    truncateSync(path, 2 * 1024 * 1024)
    expect(await refusal(path, 'qcow2')).toContain('truncated')
  })

  it('whose L1 table leads to one table again and again', async () => {
    const path = qemuImg('create', '-f', 'qcow2', 'PATH', '4G')
    const descriptor = openSync(path, 'r+')
    const entry = Buffer.alloc(8)
    entry.writeBigUInt64BE((1n << 63n) | 0x30000n)
    for (const index of [0, 1]) writeSync(descriptor, entry, 0, 8, 3 * 65536 + index * 8)
    closeSync(descriptor)
    truncateSync(path, 8 * 65536)
    expect(await refusal(path, 'qcow2')).toMatch(/twice|nowhere/)
  })
})

it('refuses a raw image larger than the limit without reading it', async () => {
  const path = file('')
  truncateSync(path, 200 * GIB)
  expect(await refusal(path, 'raw')).toContain('larger than')
})

it('follows no symbolic link', async () => {
  const path = fresh()
  symlinkSync('/etc/passwd', path)
  await expect(inspector.inspect(path, 'raw', limits)).rejects.toBeInstanceOf(AdapterError)
})

it('accepts no mutation of a header that refers to another file, and fails in no other way than "invalid"', async () => {
  const path = file(valid)
  const descriptor = openSync(path, 'r+')
  const header = valid.subarray(0, 1024)
  const offset = fc.oneof({ weight: 3, arbitrary: fc.nat(143) }, fc.nat(1020))
  const change = fc.tuple(
    offset,
    fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.constant(new Uint8Array([0xff, 0xff, 0xff, 0xff]))),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const bytes = Buffer.from(header)
      for (const [at, data] of changes) bytes.set(data.slice(0, bytes.length - at), at)
      writeSync(descriptor, bytes, 0, bytes.length, 0)
      const outcome = await readUntrusted(path, 'qcow2', limits).catch((error: unknown) => error)
      if (typeof outcome !== 'number') {
        expect(outcome).toBeInstanceOf(DomainError)
        expect((outcome as DomainError).kind).toBe('invalid')
        return
      }
      expect(outcome).toBeLessThanOrEqual(limits.maxVirtualSize)
      expect(bytes.subarray(0, 4).toString('latin1')).toBe('QFI\xfb')
      expect(bytes.readBigUInt64BE(8)).toBe(0n)
      if (bytes.readUInt32BE(4) === 3) expect(bytes.readBigUInt64BE(72) & 4n).toBe(0n)
    }),
    { numRuns: 3000 },
  )
  closeSync(descriptor)
})
