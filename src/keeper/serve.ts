/** The keeper's socket: reads requests, hands them to the freezer, and thaws what a closing connection held. */
import { createServer, type Server, type Socket } from 'node:net'
import { AgentFailure } from './agent-channel.js'
import type { Freezer } from './freezer.js'
import { type Command, KEEPER_VERSION, onLines, type Reply, readRequest } from './protocol.js'

export interface Serving {
  readonly freezer: Freezer
  /** Nobody is connected and nothing is held any more. */
  onIdle(): void
  onBusy(): void
  /** Asked to make room for another keeper. */
  onRetire(): void
}

export function serve({ freezer, onIdle, onBusy, onRetire }: Serving): Server {
  const callers = new Set<Socket>()
  const server = createServer((caller) => {
    callers.add(caller)
    onBusy()
    caller.on('error', () => caller.destroy())
    caller.on('close', () => {
      callers.delete(caller)
      freezer.disown(caller)
      if (callers.size === 0) onIdle()
    })
    onLines(caller, (line) => {
      const request = readRequest(line)
      if (request === undefined) return void caller.destroy()
      void answer(request.id, request.command, caller).then((reply) => {
        if (caller.writable) caller.write(`${JSON.stringify(reply)}\n`)
      })
    })
  })

  async function answer(id: number, command: Command, caller: Socket): Promise<Reply> {
    try {
      return { id, ok: await perform(command, caller) }
    } catch (error) {
      const failed = error instanceof AgentFailure ? error.reason : 'internal'
      return { id, failed, message: error instanceof Error ? error.message : String(error) }
    }
  }

  async function perform(command: Command, caller: Socket): Promise<object> {
    switch (command.command) {
      case 'hello':
        return { version: KEEPER_VERSION, pid: process.pid, holds: freezer.holds().length }
      case 'present':
        return await freezer.present(command, command.timeoutMs)
      case 'freeze':
        return await freezer.freeze(command, command.holder, command.budgetMs, caller)
      case 'thaw':
        return await freezer.thaw(command, command.holder)
      case 'shutdown':
        return await freezer.shutdown(command, command.mode)
      case 'status':
        return { holds: freezer.holds() }
      case 'retire': {
        const retired = freezer.holds().length === 0
        if (retired) setImmediate(onRetire)
        return { retired }
      }
    }
  }
  return server
}
