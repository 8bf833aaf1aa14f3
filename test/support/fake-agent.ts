/**
 * A guest's agent behind QEMU's socket, as far as freezing goes, with the ways it can fail. Like the real thing it serves
 * one connection at a time, and what is sent to a hung guest stays in the serial buffer and is executed when it wakes.
 */
import { createServer, type Server, type Socket } from 'node:net'

export interface FakeAgentOptions {
  /** File systems it says it froze. */
  freezes?: number
  /** File systems it says it thawed; as many as were frozen unless told. */
  thaws?: number
  /** Thaws by itself after so long, as VSS does. */
  selfThawMs?: number
  /** Raw bytes instead of the answer to this command; undefined: answer as usual, null: obey, but say nothing. */
  override?: (command: string, socket: Socket) => string | null | undefined
}

export interface FakeAgent {
  readonly commands: string[]
  readonly frozen: boolean
  /** How long each freeze lasted, in ms. */
  readonly freezes: number[]
  /** The guest stops, or goes on. */
  hang(hung: boolean): void
  /** QEMU dies. */
  close(): Promise<void>
}

export async function startFakeAgent(path: string, options: FakeAgentOptions = {}): Promise<FakeAgent> {
  const commands: string[] = []
  const freezes: number[] = []
  const queue: Socket[] = []
  let buffer = Buffer.alloc(0)
  let hung = false
  let frozenSince: number | undefined
  let selfThaw: NodeJS.Timeout | undefined

  const thaw = (): number => {
    clearTimeout(selfThaw)
    if (frozenSince === undefined) return 0
    freezes.push(performance.now() - frozenSince)
    frozenSince = undefined
    return options.thaws ?? options.freezes ?? 1
  }

  function answer(request: { execute: string; arguments?: { id?: number } }): object | undefined {
    const { execute } = request
    const disabled = { error: { class: 'CommandNotFound', desc: `Command ${execute} has been disabled: the agent is in frozen state` } }
    switch (execute) {
      case 'guest-sync-delimited':
        return { return: request.arguments?.id }
      case 'guest-fsfreeze-status':
        return { return: frozenSince === undefined ? 'thawed' : 'frozen' }
      case 'guest-fsfreeze-thaw':
        return { return: thaw() }
      case 'guest-fsfreeze-freeze':
        if (frozenSince !== undefined) return disabled
        if ((options.freezes ?? 1) > 0) frozenSince = performance.now()
        if (options.selfThawMs !== undefined) selfThaw = setTimeout(thaw, options.selfThawMs)
        return { return: options.freezes ?? 1 }
      case 'guest-shutdown':
        return frozenSince === undefined ? undefined : disabled
      default:
        return { error: { class: 'CommandNotFound', desc: `The command ${execute} has not been found` } }
    }
  }

  function execute(): void {
    for (let end = buffer.indexOf(10); !hung && end >= 0; end = buffer.indexOf(10)) {
      const line = buffer.subarray(0, end)
      buffer = buffer.subarray(end + 1)
      const request = JSON.parse(line.subarray(line.lastIndexOf(0xff) + 1).toString())
      commands.push(request.execute)
      const socket = queue[0]
      const override = socket === undefined ? undefined : options.override?.(request.execute, socket)
      const reply = answer(request)
      if (override === null) continue
      if (override !== undefined) socket?.write(override)
      else if (reply !== undefined) {
        if (request.execute === 'guest-sync-delimited') socket?.write(Buffer.from([0xff]))
        socket?.write(`${JSON.stringify(reply)}\n`)
      }
    }
  }

  function attend(socket: Socket): void {
    socket.on('data', (bytes) => {
      buffer = Buffer.concat([buffer, bytes])
      execute()
    })
  }

  const server: Server = createServer((socket) => {
    queue.push(socket)
    if (queue.length === 1) attend(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      const first = queue[0] === socket
      queue.splice(queue.indexOf(socket), 1)
      if (first && queue[0] !== undefined) attend(queue[0])
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    commands,
    freezes,
    get frozen() {
      return frozenSince !== undefined
    },
    hang(value) {
      hung = value
      execute()
    },
    async close() {
      clearTimeout(selfThaw)
      for (const socket of queue) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
