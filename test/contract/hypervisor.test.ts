/** Guests on real QEMU under emulation, without an operating system. */
import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { deviceName, shortId } from '../../src/domain/names.js'
import type { Guest, GuestSpec, Hypervisor } from '../../src/ports/hypervisor.js'
import { createHypervisor } from '../../src/qemu/hypervisor.js'
import { MONITORS } from '../../src/qemu/monitors.js'
import { QmpSession } from '../../src/qemu/qmp/session.js'
import { outcome } from '../support/block-rig.js'
import { diskOf, emulated, guestSpec, makeChain, makeLayer, makeStateDir, removeStateDir } from '../support/qemu.js'
import { until } from '../support/until.js'

let stateDir: string
let hypervisor: Hypervisor

beforeEach(async () => {
  stateDir = await makeStateDir()
  hypervisor = emulated(stateDir)
})
afterEach(async () => {
  await hypervisor.close()
  await removeStateDir(stateDir)
})

const runDir = (spec: GuestSpec): string => join(stateDir, 'run', shortId(spec.serverId))
const pidFile = (spec: GuestSpec): string => join(stateDir, 'guests', `${spec.serverId}.pid`)
const pidOf = async (spec: GuestSpec): Promise<number> => Number(await readFile(pidFile(spec), 'utf8'))
const left = async (path: string): Promise<string[]> => await readdir(path).catch(() => [])

async function found(spec: GuestSpec, by: Hypervisor = hypervisor): Promise<Guest> {
  const guest = await by.find(spec.serverId)
  if (guest === undefined) throw new Error('no such guest')
  return guest
}

/** Resolves at the next hint about this guest after which `claim` holds. */
function changed(spec: GuestSpec, claim: () => Promise<boolean>): Promise<void> {
  return new Promise((resolve, reject) => {
    const off = hypervisor.onChange((serverId) => {
      if (serverId !== spec.serverId) return
      claim().then((holds) => {
        if (!holds) return
        off()
        resolve()
      }, reject)
    })
  })
}

describe('hypervisor', () => {
  it('starts a guest stopped, with a pid file, private sockets and its name on the command line', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    expect(await (await found(spec)).runState()).toBe('prelaunch')
    expect(await hypervisor.running()).toEqual([spec.serverId])
    const commandLine = await readFile(`/proc/${await pidOf(spec)}/cmdline`, 'utf8')
    expect(commandLine).toContain(stateDir)
    expect(commandLine).toContain(spec.serverId)
    const sockets = (await left(runDir(spec))).filter((name) => name.endsWith('.sock'))
    expect(sockets.sort()).toEqual(['ga.sock', 'people.sock', 'qmp-2.sock', 'qmp-3.sock', 'qmp.sock'])
    expect((await stat(runDir(spec))).mode & 0o777).toBe(0o700)
    expect((await stat(pidFile(spec))).mode & 0o777).toBe(0o600)
  })

  it('does not hand our secrets to QEMU', async () => {
    process.env['STRATA_ADMIN_PASSWORD'] = 'a-canary'
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    delete process.env['STRATA_ADMIN_PASSWORD']
    expect(await readFile(`/proc/${await pidOf(spec)}/environ`, 'utf8')).not.toContain('a-canary')
  })

  it('runs a guest as the user it is told, who owns just what it needs', async () => {
    const isRoot = process.getuid?.() === 0
    // Only root can become somebody else; anybody can become themselves.
    const user = isRoot ? { name: 'nobody', uid: 65534, gid: 65534 } : undefined
    const other = createHypervisor({ stateDir, accel: async () => 'tcg', ...(user === undefined ? {} : { guestUser: user }) })
    const [base, later] = [await makeLayer(stateDir, 4), await makeLayer(stateDir, 4)]
    const spec = guestSpec([diskOf([base])])
    await other.launch(spec)
    const status = await readFile(`/proc/${await pidOf(spec)}/status`, 'utf8')
    expect(Number(/^Uid:\t(\d+)/m.exec(status)?.[1])).toBe(user?.uid ?? process.getuid?.())
    const guest = await found(spec, other)
    await guest.blocks.open(later, null, { writable: true })
    expect((await stat(stateDir)).mode & 0o007).toBe(0)
    await other.kill(spec.serverId)
    await other.close()
  })

  it('resumes, pauses and resets, and says so to those who listen', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    const guest = await found(spec)
    const running = changed(spec, async () => (await guest.runState()) === 'running')
    await guest.resume()
    await running
    const paused = changed(spec, async () => (await guest.runState()) === 'paused')
    await guest.pause()
    await paused
    const reset = changed(spec, async () => true)
    await guest.reset()
    await reset
  })

  it('refuses a second QEMU for a server', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    expect(await outcome(hypervisor.launch(spec))).toBe('refused')
    expect(await hypervisor.isRunning(spec.serverId)).toBe(true)
  })

  it('starts a guest others ask for meanwhile: they get it once it answers', async () => {
    const spec = guestSpec([])
    const launched = hypervisor.launch(spec)
    await until(async () => (await left(join(stateDir, 'guests'))).some((name) => name.endsWith('.pid')), { what: 'a pid file' })
    const asked = hypervisor.find(spec.serverId)
    await launched
    expect(await asked).toBe(await found(spec))
    expect(await (await found(spec)).runState()).toBe('prelaunch')
  })

  it('refuses a guest whose disk is missing, says why, and leaves nothing behind', async () => {
    const layer = await makeLayer(stateDir, 4)
    const spec = guestSpec([diskOf([{ ...layer, path: `${layer.path}.none` }])])
    await expect(hypervisor.launch(spec)).rejects.toMatchObject({ outcome: 'refused', message: expect.stringContaining('No such file') })
    expect(await left(join(stateDir, 'run'))).toEqual([])
    expect((await left(join(stateDir, 'guests'))).filter((name) => !name.endsWith('.log'))).toEqual([])
    expect(await hypervisor.find(spec.serverId)).toBeUndefined()
  })

  it('refuses to start at all where socket paths would be cut', () => {
    expect(() => createHypervisor({ stateDir: `/tmp/${'x'.repeat(60)}`, accel: async () => 'tcg' })).toThrow(/too long/)
  })

  it('finds its guests again after a restart, and they have not noticed', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    const pid = await pidOf(spec)
    await (await found(spec)).resume()
    await hypervisor.close()
    const successor = emulated(stateDir)
    expect(await successor.running()).toEqual([spec.serverId])
    const [one, two] = await Promise.all([found(spec, successor), found(spec, successor)])
    expect(one).toBe(two)
    expect(await one.runState()).toBe('running')
    expect(await pidOf(spec)).toBe(pid)
    await successor.close()
  })

  it('finds none when the guest ends while it is asked', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    const pid = await pidOf(spec)
    await hypervisor.close()
    process.kill(pid, 'SIGSTOP')
    const successor = emulated(stateDir)
    const asked = [successor.find(spec.serverId), successor.find(spec.serverId)]
    const ends = async (): Promise<number> => (await readFile('/proc/net/unix', 'utf8')).split(`${runDir(spec)}/qmp.sock`).length - 1
    await until(async () => (await ends()) > 1, { what: 'it to be asked' })
    process.kill(pid, 'SIGKILL')
    expect(await Promise.all(asked)).toEqual([undefined, undefined])
    await successor.close()
  })

  it('finds a guest that was started but never recorded', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    const pid = await pidOf(spec)
    await hypervisor.close()
    for (const suffix of ['pid', 'start']) await rm(join(stateDir, 'guests', `${spec.serverId}.${suffix}`))
    expect(await emulated(stateDir).isRunning(spec.serverId)).toBe(true)
    expect(await pidOf(spec)).toBe(pid)
  })

  it('never takes a recycled pid for a guest, nor kills it', async () => {
    const spec = guestSpec([])
    await mkdir(join(stateDir, 'guests'))
    await writeFile(pidFile(spec), `${process.pid}\n`)
    await writeFile(join(stateDir, 'guests', `${spec.serverId}.start`), '1\n')
    expect(await hypervisor.isRunning(spec.serverId)).toBe(false)
    await hypervisor.kill(spec.serverId)
    expect(await hypervisor.running()).toEqual([])
  })

  it('kills a guest that answers nobody, and killing none succeeds', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    const pid = await pidOf(spec)
    process.kill(pid, 'SIGSTOP')
    for (const _ of [1, 2]) await hypervisor.kill(spec.serverId)
    expect(await hypervisor.isRunning(spec.serverId)).toBe(false)
    expect(await left(join(stateDir, 'run'))).toEqual([])
    expect(await hypervisor.find(spec.serverId)).toBeUndefined()
  })

  it('tells of a guest that was lost', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    const lost = changed(spec, async () => (await hypervisor.find(spec.serverId)) === undefined)
    process.kill(await pidOf(spec), 'SIGKILL')
    await lost
    expect(await hypervisor.running()).toEqual([])
    await hypervisor.launch(spec)
    expect(await hypervisor.isRunning(spec.serverId)).toBe(true)
  })

  it('quits in good order', async () => {
    const [top] = await makeChain(stateDir, 4, [[]])
    if (top === undefined) throw new Error('no layer')
    const spec = guestSpec([diskOf([top])])
    await hypervisor.launch(spec)
    await (await found(spec)).quit()
    expect(await hypervisor.isRunning(spec.serverId)).toBe(false)
    expect(await left(join(stateDir, 'run'))).toEqual([])
  })

  it('waits for a shutdown no longer than asked, and sees the end of the process', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    const guest = await found(spec)
    expect(await guest.waitForShutdown(30)).toBe(false)
    await expect(guest.waitForShutdown(60_000, AbortSignal.timeout(20))).rejects.toThrow()
    const ended = guest.waitForShutdown(20_000)
    process.kill(await pidOf(spec), 'SIGKILL')
    expect(await ended).toBe(true)
  })

  it('is unavailable, not gone, while all its monitors are held by others who say nothing, and not longer', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    await hypervisor.close()
    const intruders = MONITORS.map((name) => new QmpSession({ path: join(runDir(spec), name) }))
    for (const intruder of intruders) await intruder.connect()
    const late = emulated(stateDir)
    // Again and again: those who waited in vain must not be in the way of the next.
    for (let attempt = 0; attempt < 3; attempt++) expect(await outcome(late.find(spec.serverId))).toBe('unavailable')
    intruders[1]?.close()
    expect(await (await found(spec, late)).runState()).toBe('prelaunch')
    for (const intruder of intruders) intruder.close()
    await late.close()
  }, 40_000)

  it('is reached by two of us at once, and both hear what happens to it', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    const other = emulated(stateDir)
    await (await found(spec, other)).resume()
    const heard = new Promise<string>((resolve) => other.onChange(resolve))
    await (await found(spec)).pause()
    expect(await heard).toBe(spec.serverId)
    expect(await (await found(spec, other)).runState()).toBe('paused')
    await (await found(spec, other)).quit()
    expect(await hypervisor.find(spec.serverId)).toBeUndefined()
    await other.close()
  })

  it('keeps the console of the last run and shows what was asked for', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    await (await found(spec)).resume()
    // The firmware speaks on the serial line for want of a screen.
    await until(async () => (await hypervisor.console(spec.serverId)).includes('SeaBIOS'), { what: 'the firmware to speak' })
    await hypervisor.kill(spec.serverId)
    const log = join(stateDir, 'guests', `${spec.serverId}.log`)
    await writeFile(log, 'one\ntwo\nthree\n')
    expect(await hypervisor.console(spec.serverId, 2)).toBe('two\nthree\n')
    expect(await hypervisor.console(spec.serverId)).toBe('one\ntwo\nthree\n')
    await hypervisor.launch(spec)
    expect(await hypervisor.console(spec.serverId)).toBe('')
    expect(await readFile(`${log}.1`, 'utf8')).toBe('one\ntwo\nthree\n')
    expect(await outcome(hypervisor.forget(spec.serverId))).toBe('refused')
    await hypervisor.kill(spec.serverId)
    await hypervisor.forget(spec.serverId)
    expect(await left(join(stateDir, 'guests'))).toEqual([])
    expect(await hypervisor.console(spec.serverId)).toBe('')
  })

  it('cuts the console log of a guest that says much, and shows its end as before', async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    await (await found(spec)).resume()
    await until(async () => (await hypervisor.console(spec.serverId)).includes('SeaBIOS'), { what: 'the firmware to speak' })
    await (await found(spec)).pause()
    const log = join(stateDir, 'guests', `${spec.serverId}.log`)
    await appendFile(log, `${'a line of sixteen\n'.repeat(500_000)}the end\n`)
    const before = await hypervisor.console(spec.serverId)
    await hypervisor.boundConsole(spec.serverId)
    expect((await stat(log)).size).toBe(0)
    expect(await hypervisor.console(spec.serverId)).toBe(before)
    expect(await hypervisor.console(spec.serverId, 2)).toBe('a line of sixteen\nthe end\n')
    // QEMU appends where the file ends now, not where it ended.
    await (await found(spec)).reset()
    await (await found(spec)).resume()
    await until(async () => (await readFile(log, 'utf8')).includes('SeaBIOS'), { what: 'the firmware to speak again' })
    expect((await stat(log)).size).toBeLessThan(100_000)
    expect(await readFile(log, 'utf8')).not.toContain('\0')
    expect(await hypervisor.console(spec.serverId)).toContain('the end')
    // Short as it is, it is left alone.
    await hypervisor.boundConsole(spec.serverId)
    expect((await stat(log)).size).toBeGreaterThan(0)
    await hypervisor.kill(spec.serverId)
    await hypervisor.forget(spec.serverId)
    expect(await left(join(stateDir, 'guests'))).toEqual([])
  })

  it('lets the second monitor be used by people', async () => {
    const spec = guestSpec([diskOf([await makeLayer(stateDir, 1)])])
    await hypervisor.launch(spec)
    const people = new QmpSession({ path: join(runDir(spec), 'people.sock') })
    await people.connect()
    const peripherals = await people.execute('qom-list', { path: '/machine/peripheral' })
    expect(peripherals.map((entry) => entry.name)).toContain(deviceName(spec.disks[0]?.diskId ?? ''))
    people.close()
  })
})
