/** The monitor a guest has for people: what an operator may do to it behind the service's back. */
import { createConnection } from 'node:net'
import { join } from 'node:path'

export interface PersonsMonitor {
  /** Names of the events so far. */
  readonly events: readonly string[]
  execute(command: string, args?: object): Promise<unknown>
  close(): void
}

export async function personsMonitor(runPath: string): Promise<PersonsMonitor> {
  const socket = createConnection(join(runPath, 'people.sock'))
  const events: string[] = []
  const waiting: ((message: { return?: unknown; error?: unknown }) => void)[] = []
  let rest = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const message = JSON.parse(line)
      if ('return' in message || 'error' in message) waiting.shift()?.(message)
      else if ('event' in message) events.push(message.event)
    }
  })
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  async function execute(command: string, args: object = {}): Promise<unknown> {
    const answered = new Promise<{ return?: unknown; error?: unknown }>((resolve) => waiting.push(resolve))
    socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`)
    const message = await answered
    if (message.error !== undefined) throw new Error(`${command}: ${JSON.stringify(message.error)}`)
    return message.return
  }
  await execute('qmp_capabilities')
  return { events, execute, close: () => void socket.destroy() }
}
