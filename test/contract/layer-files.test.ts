import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AdapterError } from '../../src/domain/errors.js'
import type { LayerFile } from '../../src/ports/block.js'
import { createLayerFiles } from '../../src/qemu/layer-files.js'

const MIB = 1024 ** 2
const files = createLayerFiles()
const never = new AbortController().signal
let pool: string

beforeEach(() => {
  pool = mkdtempSync(join(tmpdir(), 'layers-'))
})
afterEach(() => rmSync(pool, { recursive: true }))

const layer = (name: string, virtualSize = 64 * MIB, format: 'qcow2' | 'raw' = 'qcow2'): LayerFile => ({
  layerId: name,
  path: join(pool, name),
  format,
  virtualSize,
})
const qemuImg = (...args: string[]): string => execFileSync('qemu-img', args, { encoding: 'utf8' })
const qemuIo = (path: string, command: string): string =>
  execFileSync('qemu-io', ['-f', 'qcow2', '-c', command, path], { encoding: 'utf8' })
const info = (path: string): Record<string, unknown> => JSON.parse(qemuImg('info', '--output=json', '-f', 'qcow2', path))
const refused = (code?: string) => (error: AdapterError) => error.outcome === 'refused' && (code === undefined || error.code === code)

describe('an empty layer', () => {
  it.each([1 * MIB, 512 * MIB, 8 * 1024 ** 4])('of %d bytes is one that qemu-img finds nothing wrong with', async (size) => {
    const blank = layer('blank', size)
    await files.create(blank, null)
    expect(info(blank.path)).toMatchObject({ format: 'qcow2', 'virtual-size': size, 'cluster-size': 65536 })
    expect(qemuImg('check', '-f', 'qcow2', blank.path)).toContain('No errors')
    expect(statSync(blank.path).mode & 0o777).toBe(0o600)
    expect(await files.probe(blank, null)).toBe('done')
  })

  it('reads as what it stands on, and takes writes', async () => {
    const base = layer('base')
    const top = layer('top')
    await files.create(base, null)
    qemuIo(base.path, 'write -P 17 1M 1M')
    await files.create(top, base)
    expect(info(top.path)).toMatchObject({ 'backing-filename': 'base', 'backing-filename-format': 'qcow2' })
    expect(qemuIo(top.path, 'read -P 17 1M 1M')).not.toContain('failed')
    qemuIo(top.path, 'write -P 18 1M 64k')
    expect(qemuImg('check', '-f', 'qcow2', top.path)).toContain('No errors')
    expect(qemuIo(base.path, 'read -P 17 1M 1M')).not.toContain('failed')
  })

  it('names a base in another directory by its whole path', async () => {
    mkdirSync(join(pool, 'other'))
    const base = layer('other/base.raw', MIB, 'raw')
    writeFileSync(base.path, Buffer.alloc(MIB, 5))
    await files.create(layer('top', MIB), base)
    expect(info(join(pool, 'top'))).toMatchObject({ 'backing-filename': base.path, 'backing-filename-format': 'raw' })
    expect(await files.probe(layer('top', MIB), base)).toBe('done')
  })

  it('may be a blank raw file, as large as the disk and standing on nothing', async () => {
    const raw = layer('blank', MIB, 'raw')
    expect(await files.probe(raw, null)).toBe('absent')
    await files.create(raw, null)
    expect(await files.stat(raw.path)).toEqual({ allocated: 0, length: MIB })
    expect(await files.probe(raw, null)).toBe('done')
    expect(await files.probe({ ...raw, virtualSize: 2 * MIB }, null)).toBe('partial')
    await expect(files.create(layer('on', MIB, 'raw'), raw)).rejects.toSatisfy(refused())
  })

  it('never replaces a file', async () => {
    const one = layer('one')
    writeFileSync(one.path, 'precious')
    await expect(files.create(one, null)).rejects.toSatisfy(refused('EEXIST'))
    expect(readFileSync(one.path, 'utf8')).toBe('precious')
  })

  it.each(['a:b', 'json:{}', 'nbd:host', 'with "quotes", and\nlines', "$(touch x);'"])('may be called %j', async (name) => {
    const base = layer(name)
    await files.create(base, null)
    await files.create(layer('top'), base)
    expect(await files.probe(layer('top'), base)).toBe('done')
    await files.verify([layer('top'), base])
    await files.flatten([layer('top'), base], join(pool, 'flat'), { format: 'qcow2', signal: never })
    await files.grow(base, 128 * MIB)
  })
})

describe('probe', () => {
  it('tells a file that is not there from one that is not whole', async () => {
    const base = layer('base')
    const top = layer('top')
    await files.create(base, null)
    expect(await files.probe(top, base)).toBe('absent')
    await files.create(top, base)
    expect(await files.probe(top, null)).toBe('partial')
    expect(await files.probe({ ...top, virtualSize: 128 * MIB }, base)).toBe('partial')
    const whole = readFileSync(top.path)
    for (const length of [0, 50, 104, 4096, 65536, 2 * 65536]) {
      writeFileSync(top.path, whole.subarray(0, length))
      expect(await files.probe(top, base)).toBe('partial')
      truncateSync(top.path, whole.length)
      expect(await files.probe(top, base)).toBe('partial')
    }
  })
})

describe('verify', () => {
  it('refuses a header that says anything else than the tables', async () => {
    const base = layer('base')
    const other = layer('other')
    const top = layer('top')
    await files.create(base, null)
    await files.create(other, null)
    await files.create(top, base)
    await files.verify([top, base])
    await expect(files.verify([top, other])).rejects.toSatisfy(refused('image_tampered'))
    await expect(files.verify([top])).rejects.toSatisfy(refused('image_tampered'))
    await expect(files.verify([top, { ...base, format: 'raw' }])).rejects.toSatisfy(refused('image_tampered'))
    qemuImg('rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', '/etc/passwd', top.path)
    await expect(files.verify([top, base])).rejects.toSatisfy(refused('image_tampered'))
    rmSync(top.path)
    symlinkSync(base.path, top.path)
    await expect(files.verify([top, base])).rejects.toSatisfy(refused())
  })

  it('refuses an external data file', async () => {
    const top = layer('top')
    await files.create(top, null)
    const descriptor = openSync(top.path, 'r+')
    writeSync(descriptor, Buffer.from([4]), 0, 1, 79)
    await expect(files.verify([top])).rejects.toSatisfy(refused('image_tampered'))
  })

  it('accepts images that other tools made', async () => {
    const image = layer('image')
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'refcount_bits=1,cluster_size=2M', image.path, '64M')
    await files.verify([image])
  })
})

it('renames once and again, but not over another file', async () => {
  writeFileSync(join(pool, 'from'), 'x')
  await files.rename(join(pool, 'from'), join(pool, 'to'))
  await files.rename(join(pool, 'from'), join(pool, 'to'))
  expect(await files.exists(join(pool, 'from'))).toBe(false)
  writeFileSync(join(pool, 'from'), 'y')
  await expect(files.rename(join(pool, 'from'), join(pool, 'to'))).rejects.toSatisfy(refused('EEXIST'))
  await expect(files.rename(join(pool, 'none'), join(pool, 'nowhere'))).rejects.toSatisfy(refused('ENOENT'))
})

it('removes, also what is not there', async () => {
  writeFileSync(join(pool, 'x'), 'x')
  await files.remove(join(pool, 'x'))
  await files.remove(join(pool, 'x'))
  expect(await files.stat(join(pool, 'x'))).toBeUndefined()
})

describe('grow', () => {
  it.each(['qcow2', 'raw'] as const)('makes a %s larger, never smaller', async (format) => {
    const disk = layer('disk', MIB, format)
    if (format === 'raw') writeFileSync(disk.path, Buffer.alloc(MIB))
    else await files.create(disk, null)
    await files.grow(disk, 2 * MIB)
    await files.grow(disk, 2 * MIB)
    expect(JSON.parse(qemuImg('info', '--output=json', '-f', format, disk.path))).toMatchObject({ 'virtual-size': 2 * MIB })
    await expect(files.grow(disk, MIB)).rejects.toSatisfy(refused())
  })
})

it('rebases without opening what is below', async () => {
  const [a, b, top] = [layer('a'), layer('b'), layer('top')]
  await files.create(a, null)
  await files.create(b, a)
  await files.create(top, b)
  rmSync(b.path)
  await files.rebase(top, a)
  await files.verify([top, a])
  await files.rebase(top, null)
  await files.verify([top])
})

describe('flatten', () => {
  async function chain(): Promise<[LayerFile, LayerFile, LayerFile]> {
    const base = layer('base.raw', 16 * MIB, 'raw')
    writeFileSync(base.path, Buffer.alloc(16 * MIB, 1))
    const middle = layer('middle', 32 * MIB)
    const top = layer('top', 64 * MIB)
    await files.create(middle, base)
    qemuIo(middle.path, 'write -P 2 8M 16M')
    await files.create(top, middle)
    qemuIo(top.path, 'write -P 3 20M 8M')
    return [top, middle, base]
  }

  it('copies what the top shows, says how far it is, and replaces a half-made copy', async () => {
    const layers = await chain()
    const to = join(pool, 'flat')
    writeFileSync(to, 'left by a crash')
    const seen: number[] = []
    await files.flatten(layers, to, { format: 'qcow2', signal: never, onProgress: (fraction) => seen.push(fraction) })
    expect(seen.at(-1)).toBe(1)
    expect(info(to)['backing-filename']).toBeUndefined()
    expect(statSync(to).mode & 0o777).toBe(0o600)
    for (const read of ['read -P 1 0 8M', 'read -P 2 8M 12M', 'read -P 3 20M 8M', 'read -P 0 28M 36M']) {
      expect(qemuIo(to, read)).not.toContain('failed')
    }
    expect(qemuImg('check', '-f', 'qcow2', to)).toContain('No errors')
  })

  it('follows the tables, not the headers', async () => {
    const [top, , base] = await chain()
    qemuImg('rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', '/etc/passwd', top.path)
    await files.flatten([top, base], join(pool, 'flat'), { format: 'qcow2', signal: never })
    expect(qemuIo(join(pool, 'flat'), 'read -P 1 0 16M')).not.toContain('failed')
  })

  it('stops when told to', async () => {
    const layers = await chain()
    const stop = new AbortController()
    const copying = files.flatten(layers, join(pool, 'flat'), { format: 'qcow2', signal: stop.signal, onProgress: () => stop.abort() })
    await expect(copying).rejects.toSatisfy((error: AdapterError) => error instanceof AdapterError && error.outcome === 'unknown')
  })

  it('is refused when a layer is missing', async () => {
    await expect(files.flatten([layer('none')], join(pool, 'flat'), { format: 'qcow2', signal: never })).rejects.toSatisfy(refused())
  })
})

it.each([0, 1, 512, MIB, 2 * MIB + 4096, 5 * MIB + 3])('hashes %i bytes as md5sum and sha512sum do', async (length) => {
  const bytes = Buffer.alloc(length, 'strata')
  writeFileSync(join(pool, 'x'), bytes)
  const hash = (algorithm: string) => createHash(algorithm).update(bytes).digest('hex')
  expect(await files.hash(join(pool, 'x'), { signal: never })).toEqual({
    md5: hash('md5'),
    sha512: hash('sha512'),
    size: bytes.length,
  })
  await expect(files.hash(join(pool, 'x'), { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(AdapterError)
  await expect(files.hash(join(pool, 'none'), { signal: never })).rejects.toBeInstanceOf(AdapterError)
})

it('knows the free space', async () => {
  expect(await files.free(pool)).toBeGreaterThan(MIB)
})
