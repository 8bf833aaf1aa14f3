import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createImageStore } from '../../src/host/image-store.js'

const dir = mkdtempSync('/tmp/si-')
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const store = createImageStore({ stagingDir: dir })
const fresh = (): string => store.stagingPath(randomUUID(), randomUUID())
const hex = (algorithm: string, bytes: Buffer): string => createHash(algorithm).update(bytes).digest('hex')

async function* pieces(bytes: Buffer, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
async function* broken(bytes: Buffer): AsyncIterable<Uint8Array> {
  yield bytes
  throw new Error('the client left')
}

describe('the image store', () => {
  it('keeps the bytes it was sent, for our eyes only, and says their size and hashes', async () => {
    const bytes = randomBytes(3_000_001)
    const path = fresh()
    expect(await store.receive(path, pieces(bytes, 65_536), bytes.length)).toEqual({
      size: bytes.length,
      md5: hex('md5', bytes),
      sha512: hex('sha512', bytes),
    })
    expect(readFileSync(path).equals(bytes)).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('takes an upload of nothing', async () => {
    const path = fresh()
    expect(await store.receive(path, pieces(Buffer.alloc(0), 1), 10)).toMatchObject({ size: 0, md5: hex('md5', Buffer.alloc(0)) })
  })

  it('stops at the limit', async () => {
    await expect(store.receive(fresh(), pieces(randomBytes(1000), 100), 999)).rejects.toMatchObject({ kind: 'tooLarge' })
  })

  it('passes on that the source broke, and lets the rest be removed', async () => {
    const path = fresh()
    await expect(store.receive(path, broken(randomBytes(10)), 100)).rejects.toThrow('the client left')
    expect(existsSync(path)).toBe(true)
    await store.removeStaging(path)
    await store.removeStaging(path)
    expect(existsSync(path)).toBe(false)
  })

  it('never writes over a file, nor outside its directory', async () => {
    const path = fresh()
    writeFileSync(path, 'mine')
    await expect(store.receive(path, pieces(Buffer.from('x'), 1), 10)).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(store.removeStaging(join(dir, '..', 'elsewhere'))).rejects.toThrow('staging')
    await expect(store.receive('/etc/passwd', pieces(Buffer.from('x'), 1), 10)).rejects.toThrow('staging')
  })

  it('knows how long an upload has been idle', async () => {
    const path = fresh()
    expect(await store.idleFor(path)).toBeUndefined()
    writeFileSync(path, '')
    expect(await store.idleFor(path)).toBeLessThan(10_000)
    utimesSync(path, new Date(), new Date(Date.now() - 120_000))
    expect(await store.idleFor(path)).toBeGreaterThan(100_000)
  })

  it('knows a staging file whose process is gone from one of a living process, by more than its number', async () => {
    const path = fresh()
    expect(await store.isOrphaned(path)).toBe(false)
    expect(await store.isOrphaned(path.replace(`-${process.pid}-`, '-4194305-'))).toBe(true)
    expect(await store.isOrphaned(path.replace(/\d+\.part$/, '1.part'))).toBe(true)
    expect(await store.isOrphaned(join(dir, `${randomUUID()}.part`))).toBe(false)
  })

  it('reads exactly the range asked for', async () => {
    const bytes = randomBytes(700_000)
    const path = join(dir, 'layer')
    writeFileSync(path, bytes)
    const read = async (first: number, last: number): Promise<Buffer> =>
      Buffer.concat(await (await store.read(path, { first, last })).toArray())
    expect((await read(0, bytes.length - 1)).equals(bytes)).toBe(true)
    expect((await read(5, 5)).equals(bytes.subarray(5, 6))).toBe(true)
    expect((await read(1000, 650_000)).equals(bytes.subarray(1000, 650_001))).toBe(true)
    await expect(store.read(join(dir, 'gone'), { first: 0, last: 1 })).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
