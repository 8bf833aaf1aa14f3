/** The keeper against agents that lie, hang or flood, and as a process that may be raced, killed or replaced. */
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AdapterError } from '../../src/domain/errors.js'
import { createGuestAgent } from '../../src/keeper/guest-agent.js'
import type { GuestAgent } from '../../src/ports/agent.js'
import { type FakeAgent, type FakeAgentOptions, startFakeAgent } from '../support/fake-agent.js'
import { type KeeperPlace, makeKeeperPlace } from '../support/keeper.js'
import { until } from '../support/until.js'

const SERVER = 'guest'
let place: KeeperPlace
let agent: GuestAgent
let guest: FakeAgent | undefined

beforeEach(() => {
  place = makeKeeperPlace()
  agent = newAgent()
})
afterEach(async () => {
  await agent.close()
  await guest?.close()
  guest = undefined
  place.end()
})

const newAgent = (keeperCommand = place.command): GuestAgent => createGuestAgent({ ...place, keeperCommand })
const startGuest = async (options?: FakeAgentOptions): Promise<FakeAgent> => {
  guest = await startFakeAgent(join(place.runPathOf(SERVER), 'ga.sock'), options)
  return guest
}
const isRefused = (error: AdapterError): boolean => error instanceof AdapterError && error.outcome === 'refused'
const refusesToFreeze = async (budgetMs = 1500): Promise<void> => {
  await expect(agent.freeze(SERVER, 'job', budgetMs)).rejects.toSatisfy(isRefused)
}
const residentMib = (pid: number): number => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)?.[1]) / 1024

describe('a freeze', () => {
  it('of no file system is refused', async () => {
    const { commands } = await startGuest({ freezes: 0 })
    await refusesToFreeze()
    await until(() => commands.includes('guest-fsfreeze-thaw'), { what: 'a thaw all the same' })
  })

  it('is refused when somebody else has frozen the guest, and the guest is thawed', async () => {
    const frozen = await startGuest()
    await rawCommand(join(place.runPathOf(SERVER), 'ga.sock'), 'guest-fsfreeze-freeze')
    expect(frozen.frozen).toBe(true)
    await refusesToFreeze()
    await until(() => !frozen.frozen, { what: 'the thaw' })
  })

  it('that an agent does not know is refused at once', async () => {
    const unknown = `${JSON.stringify({ error: { class: 'CommandNotFound', desc: 'The command has not been found' } })}\n`
    await startGuest({ override: (command) => (command.startsWith('guest-fsfreeze') ? unknown : undefined) })
    await refusesToFreeze()
    await until(() => place.log().some(({ event }) => event === 'thawed'), { what: 'the end of the hold' })
  })

  it('whose answer is lost is refused within the budget, and undone when the guest carries it out later', async () => {
    const late = await startGuest({ override: (command) => (command === 'guest-fsfreeze-freeze' ? loseAnswer() : undefined) })
    const loseAnswer = (): null => {
      late.hang(true)
      return null
    }
    await agent.present(SERVER, 1000)
    const begun = performance.now()
    await refusesToFreeze(1000)
    expect(performance.now() - begun).toBeLessThan(8000)
    expect(late.frozen).toBe(true)
    late.hang(false)
    await until(() => !late.frozen, { what: 'the thaw' })
  })

  it('is undone by the guest itself: the count tells', async () => {
    const vss = await startGuest({ freezes: 2, selfThawMs: 50 })
    expect(await agent.freeze(SERVER, 'job', 10_000)).toBe(2)
    await until(() => !vss.frozen, { what: 'the guest to thaw itself' })
    expect(await agent.thaw(SERVER, 'job')).toMatchObject({ thawed: 0, expired: false })
  })

  it('keeps the counts as the agent tells them, also when they differ', async () => {
    await startGuest({ freezes: 3, thaws: 1 })
    expect(await agent.freeze(SERVER, 'job', 10_000)).toBe(3)
    expect(await agent.thaw(SERVER, 'job')).toMatchObject({ thawed: 1, expired: false })
  })

  it.each([
    ['nested a hundred thousand deep', `{"return":${'['.repeat(100_000)}${']'.repeat(100_000)}}\n`],
    ['no JSON', 'frozen, honestly\n'],
    ['neither a result nor an error', '{"yes":1}\n'],
    ['a negative count', '{"return":-1}\n'],
    ['a count that is text', '{"return":"2"}\n'],
    ['nothing at all', ''],
  ])('answered with %s is refused, and the guest is thawed', async (_, bytes) => {
    const hostile = await startGuest({ override: (command) => (command === 'guest-fsfreeze-freeze' ? bytes : undefined) })
    await refusesToFreeze(1000)
    await until(() => hostile.commands.includes('guest-fsfreeze-thaw'), { what: 'the thaw' })
    expect(await agent.present(SERVER, 20_000)).toBe(true)
  })

  it('answered with a gigabyte without end costs the keeper no memory', async () => {
    await startGuest({ override: (command, socket) => (command === 'guest-fsfreeze-freeze' ? flood(socket) : undefined) })
    expect(await agent.present(SERVER, 20_000)).toBe(true)
    const before = residentMib(place.pid() ?? 0)
    await refusesToFreeze(1000)
    expect(residentMib(place.pid() ?? 0) - before).toBeLessThan(40)
  })

  it('of a guest without an agent is refused, and nothing is left to thaw', async () => {
    const { commands } = await startGuest({ override: () => null })
    await refusesToFreeze(500)
    expect(commands).not.toContain('guest-fsfreeze-freeze')
    expect(place.log().filter(({ event }) => event !== 'recovering')).toEqual([])
  })
})

describe('the keeper', () => {
  it('is one, however many start it at once', async () => {
    await startGuest()
    const many = Array.from({ length: 5 }, () => newAgent())
    expect(await Promise.all(many.map((one) => one.present(SERVER, 5000)))).toEqual([true, true, true, true, true])
    const pids = await Promise.all(many.map(() => askKeeper({ command: 'hello' }).then(({ ok }) => ok['pid'])))
    expect(new Set(pids)).toEqual(new Set([place.pid()]))
    for (const one of many) await one.close()
  })

  it('keeps its socket to its user', async () => {
    await startGuest()
    await agent.present(SERVER, 1000)
    const home = join(place.stateDir, 'keeper')
    expect(statSync(home).mode & 0o777).toBe(0o700)
    for (const name of ['keeper.sock', 'keeper.pid', 'keeper.log']) expect(statSync(join(home, name)).mode & 0o077).toBe(0)
  })

  it('killed while a guest is frozen is replaced at once by one that thaws it', async () => {
    const frozen = await startGuest()
    await agent.freeze(SERVER, 'job', 60_000)
    process.kill(place.pid() ?? 0, 'SIGKILL')
    await until(() => !frozen.frozen, { what: 'the thaw' })
    expect(await agent.thaw(SERVER, 'job')).toMatchObject({ thawed: 0, expired: true })
  })

  it('killed in the middle of a freeze: refused, and thawed', async () => {
    const hung = await startGuest({
      override(command) {
        if (command !== 'guest-fsfreeze-freeze') return undefined
        process.kill(place.pid() ?? 0, 'SIGKILL')
        return null
      },
    })
    await refusesToFreeze(10_000)
    await until(() => hung.commands.includes('guest-fsfreeze-thaw'), { what: 'the thaw' })
  })

  it('thaws before it ends when it is told to end', async () => {
    const frozen = await startGuest()
    await agent.freeze(SERVER, 'job', 60_000)
    process.kill(place.pid() ?? 0, 'SIGTERM')
    await until(() => !frozen.frozen, { what: 'the thaw' })
  })

  it('goes by itself when nobody needs it any more', async () => {
    await startGuest()
    const brief = newAgent([...place.command, '--linger-ms=50'])
    expect(await brief.present(SERVER, 1000)).toBe(true)
    await brief.close()
    await until(() => place.pid() === undefined, { what: 'the keeper to go' })
  })

  it('cuts off who sends garbage, and serves the others', async () => {
    await startGuest()
    await agent.freeze(SERVER, 'job', 10_000)
    for (const garbage of ['hello\n', '{"id":1,"command":"exec","path":"/bin/sh"}\n', 'x'.repeat(200_000), '{"id":"1"}\n', 'null\n']) {
      await new Promise<void>((resolve) => {
        const socket = createConnection(join(place.stateDir, 'keeper', 'keeper.sock'), () => socket.write(garbage))
        socket.on('error', () => undefined)
        socket.once('close', () => resolve())
      })
    }
    const { ok } = await askKeeper({ command: 'status' })
    expect(ok['holds']).toMatchObject([{ server: SERVER, holder: 'job', state: 'frozen' }])
    expect(await agent.thaw(SERVER, 'job')).toMatchObject({ thawed: 1, expired: false })
  })

  it('refuses to be replaced while it holds a freeze', async () => {
    await startGuest()
    await agent.freeze(SERVER, 'job', 10_000)
    expect((await askKeeper({ command: 'retire' })).ok).toEqual({ retired: false })
    await agent.thaw(SERVER, 'job')
    expect((await askKeeper({ command: 'retire' })).ok).toEqual({ retired: true })
    await until(() => place.pid() === undefined, { what: 'the keeper to leave' })
    expect(await agent.present(SERVER, 20_000)).toBe(true)
  })

  it('of an older version is used while it is busy, and replaced when it is not', async () => {
    await startGuest()
    let busy = true
    const asked: string[] = []
    mkdirSync(join(place.stateDir, 'keeper'), { recursive: true })
    const old = createServer((socket) =>
      socket
        .on('error', () => undefined)
        .on('data', (bytes) => {
          const { id, command } = JSON.parse(String(bytes))
          asked.push(command)
          const answers: Record<string, object> = {
            hello: { version: 0, pid: 1, holds: 1 },
            retire: { retired: !busy },
            present: { present: true },
          }
          socket.write(`${JSON.stringify({ id, ok: answers[command] })}\n`)
          if (command === 'retire' && !busy) old.close()
        }),
    )
    await new Promise<void>((resolve) => old.listen(join(place.stateDir, 'keeper', 'keeper.sock'), resolve))
    const early = newAgent()
    expect(await early.present(SERVER, 1000)).toBe(true)
    expect(asked).toEqual(['hello', 'retire', 'present'])
    await early.close()
    busy = false
    expect(await agent.present(SERVER, 20_000)).toBe(true)
    expect((await askKeeper({ command: 'hello' })).ok['version']).toBeGreaterThan(0)
  })
})

function flood(socket: Socket): null {
  const piece = Buffer.alloc(1024 * 1024, 'x')
  let left = 1024
  const pour = (): void => {
    while (left > 0 && !socket.destroyed) {
      left--
      if (!socket.write(piece)) return void socket.once('drain', pour)
    }
  }
  pour()
  return null
}

async function rawCommand(path: string, execute: string): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = createConnection(path, () => socket.write(`${JSON.stringify({ execute })}\n`))
    socket.once('data', () => socket.destroy())
    socket.once('close', () => resolve())
  })
}

async function askKeeper(command: object): Promise<{ ok: Record<string, unknown> }> {
  return await new Promise((resolve) => {
    const socket = createConnection(join(place.stateDir, 'keeper', 'keeper.sock'), () =>
      socket.write(`${JSON.stringify({ id: 1, ...command })}\n`),
    )
    socket.once('data', (bytes) => {
      socket.destroy()
      resolve(JSON.parse(String(bytes)))
    })
  })
}
