/**
 * Stands between the keeper and a guest's real agent, in the place of its socket: what the agent says can be held back,
 * swallowed or falsified while the guest really freezes and thaws. Passes everything on as it is unless told otherwise.
 */
import { existsSync, renameSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { join } from 'node:path'

/** Sees each answer before the keeper does: returns what it gets instead, undefined for nothing at all. */
export type Tamper = (command: string, answer: unknown, ask: (command: string) => void) => Promise<unknown>

export interface AgentRelay {
  /** Commands that reached the agent, in order. */
  readonly commands: string[]
  tamper: Tamper
  /** The agent's own socket is in its place again. */
  close(): Promise<void>
}

export const honest: Tamper = async (_, answer) => answer

export async function startAgentRelay(runPath: string): Promise<AgentRelay> {
  const path = join(runPath, 'ga.sock')
  const real = join(runPath, 'ga.real')
  renameSync(path, real)
  const commands: string[] = []
  const open = new Set<Socket>()
  const relay = { commands, tamper: honest, close }

  const server = createServer((keeper) => {
    const agent = createConnection(real)
    const asked: (string | null)[] = []
    open.add(keeper).add(agent)
    for (const [one, other] of [
      [keeper, agent],
      [agent, keeper],
    ] as const)
      one
        .on('error', () => one.destroy())
        .on('close', () => {
          open.delete(one)
          other.destroy()
        })
    /** Its answer is ours alone. */
    const ask = (command: string): void => {
      asked.push(null)
      agent.write(`${JSON.stringify({ execute: command })}\n`)
    }
    onLines(keeper, (line) => {
      const { execute } = JSON.parse(text(line)) as { execute: string }
      commands.push(execute)
      asked.push(execute)
      agent.write(line)
    })
    let before: Promise<unknown> = Promise.resolve()
    onLines(agent, (line) => {
      before = before.then(async () => {
        // Before the delimiter come answers to an earlier connection, and a complaint about our own delimiter.
        if (asked[0] === 'guest-sync-delimited' && !line.includes(0xff)) return
        const command = asked.shift()
        if (command === null || command === undefined) return
        const answer = JSON.parse(text(line)) as unknown
        const told = await relay.tamper(command, answer, ask)
        if (told === answer) keeper.write(line)
        else if (told !== undefined) keeper.write(`${JSON.stringify(told)}\n`)
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))

  async function close(): Promise<void> {
    for (const socket of open) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
    // A guest that was started again has taken its place already.
    if (!existsSync(real)) return
    rmSync(path, { force: true })
    renameSync(real, path)
  }
  return relay
}

const text = (line: Buffer): string => line.subarray(line.lastIndexOf(0xff) + 1).toString()

function onLines(socket: Socket, callback: (line: Buffer) => void): void {
  let rest = Buffer.alloc(0)
  socket.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes])
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = rest.subarray(0, end + 1)
      rest = rest.subarray(end + 1)
      callback(line)
    }
  })
}
