/** The keys saved memory is sealed with. */
import { randomUUID } from 'node:crypto'
import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { keyIds, keysDir, makeKey, newestKey } from '../../src/host/memory-keys.js'
import { createMemoryFiles } from '../../src/host/memory-seal.js'
import { runKey } from '../../src/key-command.js'
import { makeStateDir, removeStateDir } from '../support/qemu.js'

let stateDir: string
beforeEach(async () => {
  stateDir = await makeStateDir()
})
afterEach(() => removeStateDir(stateDir))

describe('keys', () => {
  it('are made when one is needed, for our eyes only, and kept', async () => {
    const first = await newestKey(stateDir)
    expect(await newestKey(stateDir)).toEqual(first)
    expect(first.key).toHaveLength(32)
    expect((await stat(keysDir(stateDir))).mode & 0o777).toBe(0o700)
    expect((await stat(join(keysDir(stateDir), `${first.id}.key`))).mode & 0o777).toBe(0o600)
  })

  it('are rotated: new states use the newest, old ones are still read', async () => {
    const memory = createMemoryFiles({ stateDir })
    const path = join(stateDir, 'm.mem')
    await writeFile(path, 'memory')
    const state = {
      id: randomUUID(),
      binding: { qemuVersion: '7', machine: 'pc', accel: 'tcg', cpu: 'max', vcpus: 1, ramMib: 1, disks: [] },
    }
    const signal = new AbortController().signal
    const old = await memory.seal(state, path, { signal })
    const said = await runKey(['rotate', '--state-dir', stateDir], {})
    const fresh = await memory.seal(state, path, { signal })
    expect(said).toContain(fresh.keyId)
    expect(fresh.keyId > old.keyId).toBe(true)
    expect(fresh.mac).not.toBe(old.mac)
    for (const seal of [old, fresh]) expect(await memory.check({ ...state, ...seal }, path, { signal })).toBe('intact')
    expect(await runKey(['list', '--state-dir', stateDir], {})).toBe(`${fresh.keyId}\n${old.keyId}\n`)
  })

  it('that were not written to their end are never used', async () => {
    const { id } = await newestKey(stateDir)
    await writeFile(join(keysDir(stateDir), '899999999999999-00000000.key'), 'abc')
    expect((await newestKey(stateDir)).id).toBe(id)
    expect((await makeKey(stateDir)).id > '899999999999999').toBe(true)
    expect((await keyIds(stateDir)).length).toBe((await readdir(keysDir(stateDir))).length)
  })
})
