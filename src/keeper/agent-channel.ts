/**
 * One connection to a guest's agent. The guest is hostile: what it says is bounded in size, depth and time, and a
 * breach ends the connection. Commands given up on stay in the serial buffer and are executed later, so a connection
 * begins with `guest-sync-delimited`: whatever older replies are still on their way come before its answer.
 */
import { createConnection, type Socket } from 'node:net'

export type AgentCommand =
  | { readonly execute: 'guest-fsfreeze-freeze' | 'guest-fsfreeze-thaw' | 'guest-fsfreeze-status' | 'guest-ping' }
  | { readonly execute: 'guest-shutdown'; readonly arguments: { readonly mode: 'powerdown' | 'reboot' } }

/** gone: nobody listens, QEMU is away. silent: no answer in time, or cut off. hostile: not what an agent says. error: it said no. */
export class AgentFailure extends Error {
  readonly reason: 'gone' | 'silent' | 'hostile' | 'error'
  constructor(reason: AgentFailure['reason'], message: string) {
    super(message)
    this.name = 'AgentFailure'
    this.reason = reason
  }
}

export interface AgentChannel {
  /** The value of `return`. */
  execute(command: AgentCommand, timeoutMs: number): Promise<unknown>
  close(): void
}

const MAX_REPLY = 1024 * 1024
const MAX_DEPTH = 32
const MAX_PATH = 100
const DELIMITER = 0xff
let syncNumber = process.pid * 1000

/** Connected and in step with the agent within `timeoutMs`, or AgentFailure. */
export async function openAgentChannel(path: string, timeoutMs: number): Promise<AgentChannel> {
  if (Buffer.byteLength(path) >= MAX_PATH) throw new AgentFailure('gone', 'socket path too long')
  const deadline = performance.now() + timeoutMs
  const socket = await connect(path, timeoutMs)
  const replies = readReplies(socket)
  try {
    syncNumber += 1
    const id = syncNumber
    socket.write(Buffer.concat([Buffer.from([DELIMITER]), encode({ execute: 'guest-sync-delimited', arguments: { id } })]))
    do {
      await replies.skipToDelimiter(deadline - performance.now())
    } while (unwrap(await replies.next(deadline - performance.now())) !== id)
  } catch (error) {
    socket.destroy()
    throw error
  }
  return {
    async execute(command, limit) {
      socket.write(encode(command))
      return unwrap(await replies.next(limit))
    },
    close: () => socket.destroy(),
  }
}

const encode = (command: object): Buffer => Buffer.from(`${JSON.stringify(command)}\n`)

async function connect(path: string, timeoutMs: number): Promise<Socket> {
  return await new Promise((resolve, reject) => {
    const socket = createConnection(path)
    const timer = setTimeout(() => socket.destroy(new AgentFailure('silent', 'no connection in time')), timeoutMs)
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.removeAllListeners('error')
      resolve(socket)
    })
    socket.once('error', (error) => {
      clearTimeout(timer)
      const { code } = error as NodeJS.ErrnoException
      const gone = code === 'ENOENT' || code === 'ECONNREFUSED'
      reject(error instanceof AgentFailure ? error : new AgentFailure(gone ? 'gone' : 'silent', `no connection: ${code}`))
    })
  })
}

interface Replies {
  /** Forgets everything up to and with the next delimiter byte. */
  skipToDelimiter(timeoutMs: number): Promise<void>
  /** The next line as JSON. */
  next(timeoutMs: number): Promise<unknown>
}

function readReplies(socket: Socket): Replies {
  let pending: Buffer[] = []
  let size = 0
  let failure: AgentFailure | undefined
  let wake = (): void => {}
  const fail = (reason: AgentFailure['reason'], message: string): void => {
    failure ??= new AgentFailure(reason, message)
    socket.destroy()
    wake()
  }
  socket.on('data', (bytes) => {
    pending.push(bytes)
    size += bytes.length
    if (size > MAX_REPLY) fail('hostile', 'the agent says too much')
    else wake()
  })
  socket.on('error', () => fail('silent', 'the connection broke'))
  socket.on('close', () => fail('silent', 'the connection was closed'))

  /** Bytes before the next `mark`, which is dropped. */
  async function upTo(mark: number, timeoutMs: number): Promise<Buffer> {
    const timer = setTimeout(() => fail('silent', 'no answer in time'), Math.max(0, timeoutMs))
    try {
      // Only new pieces are searched: an endless line must not cost the square of its length.
      for (let searched = 0; ; ) {
        const found = pending.findIndex((piece, index) => index >= searched && piece.includes(mark))
        if (found >= 0) {
          const all = pending.length === 1 && pending[0] !== undefined ? pending[0] : Buffer.concat(pending)
          const at = all.indexOf(mark)
          pending = [all.subarray(at + 1)]
          size = all.length - at - 1
          return all.subarray(0, at)
        }
        if (failure !== undefined) throw failure
        searched = pending.length
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    } finally {
      clearTimeout(timer)
    }
  }
  return {
    skipToDelimiter: async (timeoutMs) => void (await upTo(DELIMITER, timeoutMs)),
    next: async (timeoutMs) => parse((await upTo(0x0a, timeoutMs)).toString('utf8')),
  }
}

function parse(line: string): unknown {
  let depth = 0
  let quoted = false
  for (let at = 0; at < line.length; at++) {
    const char = line[at]
    if (quoted && char === '\\') at++
    else if (char === '"') quoted = !quoted
    else if (!quoted && (char === '{' || char === '[') && ++depth > MAX_DEPTH) throw new AgentFailure('hostile', 'nested too deep')
    else if (!quoted && (char === '}' || char === ']')) depth--
  }
  try {
    return JSON.parse(line)
  } catch {
    throw new AgentFailure('hostile', 'not JSON')
  }
}

function unwrap(reply: unknown): unknown {
  if (typeof reply === 'object' && reply !== null) {
    if ('return' in reply) return reply.return
    if ('error' in reply) throw new AgentFailure('error', JSON.stringify(reply.error).slice(0, 200))
  }
  throw new AgentFailure('hostile', 'neither return nor error')
}
