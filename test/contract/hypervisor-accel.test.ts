/** Whether KVM is used, decided by a QEMU that acts as we tell it. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createAccel } from '../../src/qemu/accel.js'
import { makeStateDir, removeStateDir } from '../support/qemu.js'

let stateDir: string
beforeEach(async () => {
  stateDir = await makeStateDir()
})
afterEach(() => removeStateDir(stateDir))

describe('acceleration', () => {
  it('is emulation, without a trial, where there is nothing to try it with', async () => {
    expect(await createAccel({ stateDir })()).toBe('tcg')
    const none = join(stateDir, 'none')
    expect(await createAccel({ stateDir, trial: { kernel: none, initrd: none } })()).toBe('tcg')
    expect(await readdir(stateDir)).toEqual([])
  })

  it('is emulation when the trial does not get through in time, and the answer is kept', async () => {
    const silent = join(stateDir, 'qemu')
    await writeFile(silent, '#!/bin/sh\n[ "$1" = --version ] && echo version 1 && exit\necho run >> "$0.runs"\nexec sleep 60\n', {
      mode: 0o700,
    })
    const options = { stateDir, binary: silent, device: silent, trial: { kernel: silent, initrd: silent }, timeoutMs: 200 }
    for (const _ of [1, 2]) expect(await createAccel(options)()).toBe('tcg')
    expect(await readFile(`${silent}.runs`, 'utf8')).toBe('run\n')
  })

  it('is KVM when the trial reaches user space, until QEMU changes', async () => {
    const lucky = join(stateDir, 'qemu')
    const script = (version: number, says: string): string =>
      `#!/bin/sh\n[ "$1" = --version ] && echo version ${version} && exit\necho "${says}"\n`
    const options = { stateDir, binary: lucky, device: lucky, trial: { kernel: lucky, initrd: lucky } }
    await writeFile(lucky, script(1, 'Kernel panic - not syncing: Attempted to kill init! exitcode=0'), { mode: 0o700 })
    expect(await createAccel(options)()).toBe('kvm')
    await writeFile(lucky, script(1, 'Probing EDD'))
    expect(await createAccel(options)()).toBe('kvm')
    await writeFile(lucky, script(2, 'Probing EDD'))
    expect(await createAccel(options)()).toBe('tcg')
  })
})
