/** The same promises on a fake agent and on a real guest. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AdapterError } from '../../src/domain/errors.js'
import { createGuestAgent } from '../../src/keeper/guest-agent.js'
import type { GuestAgent } from '../../src/ports/agent.js'
import { startFakeAgent } from '../support/fake-agent.js'
import { startGuest } from '../support/guest.js'
import { acknowledged, readGuestDisk } from '../support/guest-disk.js'
import { type KeeperPlace, makeKeeperPlace } from '../support/keeper.js'
import { until } from '../support/until.js'

const SERVER = 'guest'

interface Subject {
  /** Resolves when the guest's writes go on. */
  thawed(): Promise<unknown>
  frozen(): Promise<boolean>
  hang(hung: boolean): Promise<void>
  /** Resolves when the guest has taken note of a shutdown. */
  wentDown(): Promise<unknown>
  gone(): Promise<void>
  readonly disk?: string
  acknowledged(): number
}

async function fake(directory: string): Promise<Subject> {
  const agent = await startFakeAgent(join(directory, 'ga.sock'))
  return {
    thawed: () => until(() => !agent.frozen, { what: 'the thaw', everyMs: 5 }),
    frozen: async () => agent.frozen,
    hang: async (hung) => agent.hang(hung),
    wentDown: () => until(() => agent.commands.includes('guest-shutdown'), { what: 'the shutdown' }),
    gone: () => agent.close(),
    acknowledged: () => 0,
  }
}

async function real(directory: string): Promise<Subject> {
  const disk = join(directory, 'disk.qcow2')
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '128M'])
  const guest = await startGuest({ directory, disks: [disk] })
  const count = (): number => acknowledged(guest.console(), 'vda').length
  await guest.says(/READY/)
  return {
    async thawed() {
      const before = count()
      await until(() => count() > before + 1, { what: 'writes to go on' })
    },
    async frozen() {
      const before = count()
      return await until(() => count() > before + 1, { what: 'writes', timeoutMs: 700 }).then(
        () => false,
        () => true,
      )
    },
    hang: async (hung) => void (await guest.qmp(hung ? 'stop' : 'cont')),
    wentDown: () => guest.says(/GOODBYE poweroff/),
    gone: () => guest.kill(),
    disk,
    acknowledged: () => acknowledged(guest.console(), 'vda').at(-1) ?? 0,
  }
}

describe.each([
  ['a fake agent', fake],
  ['a real guest', real],
])('the agent of %s', (_, start) => {
  let place: KeeperPlace
  let subject: Subject
  let agent: GuestAgent
  const newAgent = (): GuestAgent => createGuestAgent({ ...place, keeperCommand: place.command })

  beforeAll(async () => {
    place = makeKeeperPlace()
    subject = await start(place.runPathOf(SERVER))
    agent = newAgent()
  }, 120_000)
  afterAll(async () => {
    await agent.close()
    await subject.gone()
    place.end()
  })

  const startOtherWorker = async (budgetMs: number): Promise<ChildProcess> => {
    const script = fileURLToPath(new URL('../support/freezing-worker.ts', import.meta.url))
    const child = spawn(process.execPath, ['--import', 'tsx', script, place.stateDir, SERVER, String(budgetMs)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const frozen = await new Promise<string>((resolve) => child.stdout?.once('data', (bytes) => resolve(String(bytes))))
    expect(Number(frozen)).toBeGreaterThan(0)
    return child
  }

  it('answers, and where there is none nothing does', async () => {
    expect(await agent.present(SERVER, 5000)).toBe(true)
    expect(await agent.present('nobody', 200)).toBe(false)
  })

  it('freezes all file systems and thaws as many', async () => {
    const frozen = await agent.freeze(SERVER, 'job', 10_000)
    expect(frozen).toBeGreaterThan(0)
    expect(await subject.frozen()).toBe(true)
    if (subject.disk !== undefined) {
      const disk = await readGuestDisk([{ path: await copyOf(subject.disk), format: 'qcow2' }])
      expect(disk).toMatchObject({ clean: true, intact: true, last: subject.acknowledged() })
    }
    const thaw = await agent.thaw(SERVER, 'job')
    expect(thaw).toMatchObject({ thawed: frozen, expired: false })
    expect(thaw.held).toBeGreaterThan(0)
    await subject.thawed()
  })

  it('thaws of nothing, and of nobody', async () => {
    expect(await agent.thaw(SERVER, 'job')).toMatchObject({ thawed: 0, expired: true })
    expect(await agent.thaw('nobody', 'job')).toMatchObject({ thawed: 0, expired: true })
  })

  it('is thawed when the budget is spent, and says so to the holder', async () => {
    await agent.freeze(SERVER, 'job', 1500)
    await subject.thawed()
    const thaw = await agent.thaw(SERVER, 'job')
    expect(thaw).toMatchObject({ thawed: 0, expired: true })
    expect(thaw.held).toBeLessThanOrEqual(1_500_000)
  })

  it('is thawed when the holder closes its connection', async () => {
    const other = newAgent()
    await other.freeze(SERVER, 'other', 60_000)
    await other.close()
    await subject.thawed()
    expect(await agent.thaw(SERVER, 'other')).toMatchObject({ thawed: 0, expired: true })
  })

  it('is thawed when the holder is killed', async () => {
    const child = await startOtherWorker(60_000)
    child.kill('SIGKILL')
    await subject.thawed()
  })

  it('is thawed within the budget when the holder is stopped', async () => {
    const child = await startOtherWorker(2000)
    child.kill('SIGSTOP')
    try {
      await subject.thawed()
      const { held } = await agent.thaw(SERVER, 'other-worker')
      expect(held).toBeLessThanOrEqual(2_000_000)
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('leaves another holder alone', async () => {
    await agent.freeze(SERVER, 'job', 10_000)
    expect(await agent.thaw(SERVER, 'stranger')).toMatchObject({ thawed: 0, expired: true })
    expect(await subject.frozen()).toBe(true)
    expect((await agent.thaw(SERVER, 'job')).thawed).toBeGreaterThan(0)
  })

  it('lets one freeze wait for the one before', async () => {
    await agent.freeze(SERVER, 'first', 10_000)
    const second = agent.freeze(SERVER, 'second', 10_000)
    expect((await agent.thaw(SERVER, 'first')).expired).toBe(false)
    expect(await second).toBeGreaterThan(0)
    expect((await agent.thaw(SERVER, 'second')).expired).toBe(false)
  })

  it('refuses a freeze that the stopped guest does not answer, sends nothing more, and finds it thawed when it goes on', async () => {
    await subject.hang(true)
    const begun = performance.now()
    await expect(agent.freeze(SERVER, 'job', 1000)).rejects.toSatisfy((error: AdapterError) => error.outcome === 'refused')
    expect(performance.now() - begun).toBeLessThan(8000)
    await subject.hang(false)
    await subject.thawed()
    expect(await subject.frozen()).toBe(false)
  })

  it('is thawed as soon as it goes on, when it was stopped while frozen', async () => {
    await agent.freeze(SERVER, 'job', 1000)
    await subject.hang(true)
    await until(() => place.log().some(({ event, why }) => event === 'expired' && why === 'budget'), { what: 'the budget' })
    await until(() => place.log().at(-1)?.event === 'thaw failed', { what: 'a thaw that fails' })
    await subject.hang(false)
    await subject.thawed()
    expect(await agent.thaw(SERVER, 'job')).toMatchObject({ thawed: 0, expired: true })
  })

  it('takes a shutdown', async () => {
    expect(await agent.shutdown('nobody', 'powerdown')).toBe(false)
    expect(await agent.shutdown(SERVER, 'powerdown')).toBe(true)
    await subject.wentDown()
  })

  it('is not waited for when its QEMU is gone', async () => {
    await subject.gone()
    await expect(agent.freeze(SERVER, 'job', 1000)).rejects.toBeInstanceOf(AdapterError)
    expect(await agent.thaw(SERVER, 'job')).toMatchObject({ thawed: 0, expired: true })
  })
})

/** A frozen guest writes nothing, so a plain copy past QEMU's lock is whole. */
async function copyOf(disk: string): Promise<string> {
  const copy = `${disk}.copy`
  execFileSync('cp', ['--sparse=always', disk, copy])
  return copy
}
