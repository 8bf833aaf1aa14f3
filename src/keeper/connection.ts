/** A worker's connection to the keeper: started when none answers, replaced when it is older than we are. */
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { type AdapterError, refused, unavailable, unknown } from '../domain/errors.js'
import { type Answers, type Command, KEEPER_VERSION, onLines, type Reply } from './protocol.js'
import { startKeeper } from './start.js'

type Name = Command['command']
type Request<N extends Name> = Extract<Command, { command: N }>

export interface KeeperConnection {
  readonly open: boolean
  /** Resolves when it is not open any more. */
  readonly closed: Promise<void>
  /** refused: the keeper says it cannot be done. unknown: the connection broke, or the time was over, before an answer. */
  request<N extends Name>(command: Request<N>, timeoutMs: number): Promise<Answers[N]>
  close(): void
}

const START_MS = 10_000
const RETRY_MS = 25
/** Between two tries to start one: the first may have met the lock of a keeper that was just dying. */
const RESTART_MS = 250
const HELLO_MS = 5000

export async function connectToKeeper(stateDir: string, command: readonly string[]): Promise<KeeperConnection> {
  const path = join(stateDir, 'keeper', 'keeper.sock')
  if (Buffer.byteLength(path) >= 100) throw unavailable(`socket path too long: ${path}`)
  const deadline = performance.now() + START_MS
  let nextStart = 0
  while (performance.now() < deadline) {
    const connection = await connect(path)
    if (connection !== undefined) {
      if (await suits(connection)) return connection
      connection.close()
      nextStart = 0
    } else if (performance.now() >= nextStart) {
      startKeeper(stateDir, command)
      nextStart = performance.now() + RESTART_MS
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
  throw unavailable('the freeze keeper does not start; see keeper/keeper.log in the state directory')
}

/** An older keeper leaves if it holds nothing; while it does, it is good enough. */
async function suits(connection: KeeperConnection): Promise<boolean> {
  try {
    const { version } = await connection.request({ command: 'hello' }, HELLO_MS)
    if (version >= KEEPER_VERSION) return true
    return !(await connection.request({ command: 'retire' }, HELLO_MS)).retired
  } catch {
    return false
  }
}

async function connect(path: string): Promise<KeeperConnection | undefined> {
  const socket = createConnection(path)
  return await new Promise((resolve) => {
    socket.once('error', () => resolve(undefined))
    socket.once('connect', () => resolve(converse(socket)))
  })
}

function converse(socket: Socket): KeeperConnection {
  const waiting = new Map<number, { resolve: (ok: unknown) => void; reject: (error: AdapterError) => void }>()
  let lastId = 0
  let open = true
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => socket.destroy())
  socket.on('close', () => {
    open = false
    for (const { reject } of waiting.values()) reject(unknown('the freeze keeper is gone'))
    waiting.clear()
  })
  onLines(socket, (line) => {
    const reply = JSON.parse(line) as Reply
    const one = waiting.get(reply.id)
    waiting.delete(reply.id)
    if ('ok' in reply) one?.resolve(reply.ok)
    else {
      const reason = reply.failed === 'gone' || reply.failed === 'silent' ? 'agent-silent' : 'agent-refused'
      one?.reject(refused(`guest agent: ${reply.message}`, { code: reply.failed, reason }))
    }
  })
  return {
    get open() {
      return open
    },
    closed,
    async request<N extends Name>(command: Request<N>, timeoutMs: number) {
      if (!open) throw unknown('the freeze keeper is gone')
      lastId += 1
      const id = lastId
      const answered = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }))
      // A keeper that does not answer is cut off: it thaws what this connection held as soon as it wakes.
      const timer = setTimeout(() => socket.destroy(), timeoutMs)
      try {
        socket.write(`${JSON.stringify({ id, ...command })}\n`)
        return (await answered) as Answers[N]
      } finally {
        clearTimeout(timer)
      }
    },
    close: () => void socket.destroy(),
  }
}
