/** The QMP session against a server that does as it is told, good manners or bad. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AdapterError } from '../../src/domain/errors.js'
import { QmpSession, type SessionOptions, type SessionState } from '../../src/qemu/qmp/session.js'
import { watch } from '../../src/qemu/qmp/watch.js'

const GREETING = { QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 }, package: '' }, capabilities: ['oob'] } }

interface Request {
  execute: string
  id: number
}

let dir: string
let path: string
let server: Server | undefined
const sockets: Socket[] = []
const sessions: QmpSession[] = []

/** `onRequest` sees every command but the negotiation. */
async function serve(onRequest: (request: Request, socket: Socket) => void, greet: (socket: Socket) => void = sayHello): Promise<void> {
  server = createServer((socket) => {
    sockets.push(socket)
    let text = ''
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      text += chunk.toString()
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) {
        const request = JSON.parse(line) as Request
        if (request.execute === 'qmp_capabilities') say(socket, { return: {}, id: request.id })
        else onRequest(request, socket)
      }
    })
    greet(socket)
  })
  await new Promise<void>((resolve) => server?.listen(path, resolve))
}

const say = (socket: Socket, message: object): void => void socket.write(`${JSON.stringify(message)}\r\n`)
function sayHello(socket: Socket): void {
  say(socket, GREETING)
}

function newSession(options: Partial<SessionOptions> = {}): { session: QmpSession; states: SessionState[] } {
  const session = new QmpSession({ path, connectTimeoutMs: 2_000, ...options })
  const states: SessionState[] = [session.state]
  session.onState((state) => states.push(state))
  sessions.push(session)
  return { session, states }
}

async function failure(promise: Promise<unknown>): Promise<AdapterError> {
  const error = await promise.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  )
  if (!(error instanceof AdapterError)) throw error
  return error
}

const becomes = (session: QmpSession, wanted: SessionState): Promise<void> =>
  new Promise((resolve) => {
    const check = (): void => {
      if (session.state === wanted) resolve()
    }
    session.onState(check)
    check()
  })

beforeEach(async () => {
  dir = await mkdtemp('/tmp/sq-')
  path = join(dir, 'qmp.sock')
})
afterEach(async () => {
  for (const session of sessions.splice(0)) session.close()
  for (const socket of sockets.splice(0)) socket.destroy()
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())))
  server = undefined
  await rm(dir, { recursive: true, force: true })
})

describe('QMP session', () => {
  it('goes from idle over connecting to running, and over disconnecting back to idle', async () => {
    await serve(() => undefined)
    const { session, states } = newSession()
    await session.connect()
    session.close()
    await becomes(session, 'idle')
    expect(states).toEqual(['idle', 'connecting', 'running', 'disconnecting', 'idle'])
  })

  it('can be connected again after the other side hung up', async () => {
    await serve((request, socket) => say(socket, { return: { status: 'running' }, id: request.id }))
    const { session, states } = newSession()
    await session.connect()
    sockets[0]?.destroy()
    await becomes(session, 'idle')
    await session.connect()
    expect(await session.execute('query-status')).toEqual({ status: 'running' })
    expect(states).toEqual(['idle', 'connecting', 'running', 'disconnecting', 'idle', 'connecting', 'running'])
  })

  it.each([
    { what: 'nobody listens', greet: undefined },
    { what: 'no greeting comes', greet: () => undefined },
    { what: 'the greeting is another one', greet: (socket: Socket) => say(socket, { hello: 'world' }) },
    { what: 'the other side hangs up', greet: (socket: Socket) => void socket.end() },
  ])('is unavailable and idle when $what', async ({ greet }) => {
    if (greet !== undefined) await serve(() => undefined, greet)
    const { session, states } = newSession({ connectTimeoutMs: 100 })
    expect(await failure(session.connect())).toMatchObject({ outcome: 'unavailable' })
    expect(states).toEqual(['idle', 'connecting', 'idle'])
    expect(await failure(session.execute('query-status'))).toMatchObject({ outcome: 'unavailable' })
  })

  it('puts messages together that arrive in pieces, and takes apart those that arrive together', async () => {
    const reply = (id: number) => `${JSON.stringify({ return: { status: 'pausé' }, id })}\r\n`
    const held: Request[] = []
    await serve((request, socket) => {
      held.push(request)
      if (held.length < 2) return
      // A cut through the middle of a two-byte character, and the rest of both replies in one piece.
      const bytes = Buffer.from(held.map(({ id }) => reply(id)).join(''))
      const cut = bytes.indexOf(0xc3) + 1
      socket.write(bytes.subarray(0, cut), () => setImmediate(() => socket.write(bytes.subarray(cut))))
    })
    const { session } = newSession()
    await session.connect()
    const replies = await Promise.all([session.execute('query-status'), session.execute('query-status')])
    expect(replies).toEqual([{ status: 'pausé' }, { status: 'pausé' }])
  })

  it('gives each command its own reply, in whatever order they come', async () => {
    const held: Request[] = []
    await serve((request, socket) => {
      held.push(request)
      if (held.length === 3) for (const { id, execute } of held.reverse()) say(socket, { return: { status: execute }, id })
    })
    const { session } = newSession()
    await session.connect()
    const replies = await Promise.all([session.execute('query-status'), session.execute('cont'), session.execute('stop')])
    expect(replies).toEqual([{ status: 'query-status' }, { status: 'cont' }, { status: 'stop' }])
  })

  it('is refused with the class of the error', async () => {
    await serve((request, socket) => say(socket, { error: { class: 'DeviceNotFound', desc: 'no such thing' }, id: request.id }))
    const { session } = newSession()
    await session.connect()
    const error = await failure(session.execute('device_del', { id: 'd-x' }))
    expect(error).toMatchObject({ outcome: 'refused', code: 'DeviceNotFound' })
    expect(error.message).toContain('no such thing')
  })

  it('says unknown when no reply comes in time, and drops the late one', async () => {
    let late: (() => void) | undefined
    await serve((request, socket) => {
      const reply = (): void => say(socket, { return: { status: String(request.id) }, id: request.id })
      if (late === undefined) late = reply
      else {
        late()
        reply()
      }
    })
    const { session } = newSession()
    await session.connect()
    expect(await failure(session.execute('query-status', {}, { timeoutMs: 20 }))).toMatchObject({ outcome: 'unknown' })
    expect(session.state).toBe('running')
    expect(await session.execute('query-status')).toEqual({ status: '3' })
  })

  it.each([
    { what: 'the connection ends', act: (socket: Socket) => void socket.destroy() },
    { what: 'a message is too long', act: (socket: Socket) => void socket.write('x'.repeat(2_000)) },
    { what: 'a message is not JSON', act: (socket: Socket) => void socket.write('}{\n') },
  ])('says unknown of all that is in flight when $what', async ({ act }) => {
    let requests = 0
    await serve((_, socket) => {
      if (++requests === 2) act(socket)
    })
    const { session, states } = newSession({ maxLine: 1_000 })
    await session.connect()
    const errors = await Promise.all([failure(session.execute('query-status')), failure(session.execute('cont'))])
    expect(errors.map((error) => error.outcome)).toEqual(['unknown', 'unknown'])
    await becomes(session, 'idle')
    expect(states).toEqual(['idle', 'connecting', 'running', 'disconnecting', 'idle'])
  })

  it('sends nothing that is not in its list', async () => {
    let asked = 0
    await serve(() => void asked++)
    const { session } = newSession()
    await session.connect()
    await expect(session.execute('human-monitor-command' as 'cont')).rejects.toThrow(TypeError)
    expect(asked).toBe(0)
  })

  it('remembers what happened between a look and the wait for it', async () => {
    await serve((request, socket) => {
      say(socket, { return: {}, id: request.id })
      say(socket, { event: 'STOP', timestamp: { seconds: 1, microseconds: 2 } })
    })
    const { session } = newSession()
    await session.connect()
    const stops = watch(session, ({ event }) => event === 'STOP')
    await session.execute('stop')
    await session.execute('stop')
    await stops.wait(60_000)
    const aborted = stops.wait(60_000, AbortSignal.timeout(10))
    await aborted
    const lost = stops.wait(60_000)
    sockets[0]?.destroy()
    await lost
    stops.stop()
  })
})
