/**
 * Newline-delimited JSON over a unix socket: whole messages in, whole messages out, nothing of QMP's meaning.
 * A line over the cap or one that is not JSON ends the connection: after that nothing in the stream can be trusted.
 */
import { connect, type Socket } from 'node:net'

export interface Transport {
  /** False: the connection is closing, nothing was sent. */
  send(message: object): boolean
  close(): void
}

export interface TransportHandlers {
  onMessage(message: unknown): void
  /** Once, whoever closed. `reason` is undefined for a plain end of stream. */
  onClose(reason: Error | undefined): void
}

export interface TransportOptions {
  readonly path: string
  /** Longest line accepted, bytes. */
  readonly maxLine: number
  readonly timeoutMs: number
}

/** Resolves once connected; rejects when nobody listens at `path` in time. */
export function openTransport(options: TransportOptions, handlers: TransportHandlers): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: options.path })
    let reason: Error | undefined
    let connected = false
    const fail = (error: Error): void => {
      reason ??= error
      socket.destroy()
    }
    const timer = setTimeout(() => fail(new Error(`no connection within ${options.timeoutMs} ms`)), options.timeoutMs)
    socket.on('error', (error) => {
      reason ??= error
    })
    socket.on('close', () => {
      clearTimeout(timer)
      if (connected) handlers.onClose(reason)
      else reject(reason ?? new Error('closed before it was open'))
    })
    socket.on('connect', () => {
      clearTimeout(timer)
      connected = true
      readLines(socket, options.maxLine, handlers.onMessage, fail)
      resolve({
        send: (message) => {
          if (socket.destroyed || !socket.writable) return false
          socket.write(`${JSON.stringify(message)}\n`)
          return true
        },
        close: () => socket.destroy(),
      })
    })
  })
}

function readLines(socket: Socket, maxLine: number, onMessage: (message: unknown) => void, fail: (error: Error) => void): void {
  let parts: Buffer[] = []
  let pending = 0
  socket.on('data', (chunk: Buffer) => {
    let rest = chunk
    while (!socket.destroyed) {
      const end = rest.indexOf(10)
      const piece = end === -1 ? rest : rest.subarray(0, end)
      pending += piece.length
      if (pending > maxLine) return fail(new Error(`a message is longer than ${maxLine} bytes`))
      parts.push(piece)
      if (end === -1) return
      const line = Buffer.concat(parts).toString('utf8').trim()
      parts = []
      pending = 0
      rest = rest.subarray(end + 1)
      if (line === '') continue
      let message: unknown
      try {
        message = JSON.parse(line)
      } catch (cause) {
        return fail(new Error('a message is not JSON', { cause }))
      }
      onMessage(message)
    }
  })
}
