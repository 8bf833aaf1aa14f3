/** The storage daemon as a process: found again, never left behind, and gone with the worker that started it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { formatNode } from '../../src/domain/names.js'
import type { Chain } from '../../src/ports/block.js'
import { createOfflineHosts } from '../../src/qemu/storage-daemon.js'
import { outcome } from '../support/block-rig.js'
import { makeChain, makeStateDir, removeStateDir } from '../support/qemu.js'
import { until } from '../support/until.js'

let stateDir: string
let chain: Chain
beforeEach(async () => {
  stateDir = await makeStateDir()
  chain = await makeChain(stateDir, 4, [[], []])
})
afterEach(() => removeStateDir(stateDir))

const run = (): Promise<string[]> => readdir(join(stateDir, 'run')).catch(() => [])
const pidOf = async (name: string): Promise<number> => Number(await readFile(join(stateDir, 'run', `${name}.pid`), 'utf8'))
const state = async (pid: number): Promise<string> => {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') gone')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[0] ?? ''
}
const hasEnded = async (pid: number): Promise<boolean> => ['gone', 'Z'].includes(await state(pid))

describe('storage daemon', () => {
  it('opens a chain with its top writable and the layers below read-only, and leaves nothing when released', async () => {
    const host = await createOfflineHosts({ stateDir }).open('job-a', chain)
    const pid = await pidOf('job-a')
    const [top, base] = chain.map((layer) => formatNode(layer.layerId))
    expect((await host.nodes()).find((node) => node.node === top)).toMatchObject({ backing: base })
    expect((await run()).sort()).toEqual(['job-a.log', 'job-a.pid', 'job-a.sock', 'job-a.start'])
    await host.release()
    expect(await run()).toEqual([])
    expect(await hasEnded(pid)).toBe(true)
  })

  it('is found again under its name, and started anew when it was lost', async () => {
    const first = createOfflineHosts({ stateDir })
    await first.open('job-a', chain)
    const pid = await pidOf('job-a')
    await first.open('job-a', chain)
    expect(await pidOf('job-a')).toBe(pid)
    await first.close()
    const second = createOfflineHosts({ stateDir })
    await second.open('job-a', chain)
    expect(await pidOf('job-a')).toBe(pid)
    process.kill(pid, 'SIGKILL')
    await until(() => hasEnded(pid), { what: 'the daemon to be gone' })
    const host = await second.open('job-a', chain)
    expect(await pidOf('job-a')).not.toBe(pid)
    await host.release()
  })

  it('leaves nothing behind when the chain cannot be opened', async () => {
    const [top, base] = chain
    if (top === undefined || base === undefined) throw new Error('no chain')
    const hosts = createOfflineHosts({ stateDir })
    expect(await outcome(hosts.open('job-a', [top, { ...base, path: `${base.path}.none` }]))).toBe('refused')
    expect(await run()).toEqual([])
    expect(await outcome(createOfflineHosts({ stateDir, binary: '/nonexistent' }).open('job-a', chain))).toBe('refused')
    expect(await run()).toEqual([])
  })

  it('refuses a second writer', async () => {
    const hosts = createOfflineHosts({ stateDir })
    const host = await hosts.open('job-a', chain)
    expect(await outcome(hosts.open('job-b', chain))).toBe('refused')
    await host.release()
  })

  it('dies with the worker that started it', async () => {
    const daemon = join(import.meta.dirname, '../../src/qemu/storage-daemon.ts')
    const script = `
      const { createOfflineHosts } = await import(${JSON.stringify(daemon)})
      await createOfflineHosts({ stateDir: ${JSON.stringify(stateDir)} }).open('job-a', ${JSON.stringify(chain)})
      console.log('open')
      setInterval(() => {}, 1000)`
    const worker = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(worker.stdout, 'data')
    const pid = await pidOf('job-a')
    expect(await hasEnded(pid)).toBe(false)
    worker.kill('SIGKILL')
    await until(() => hasEnded(pid), { what: 'the daemon to die' })
  })
})
