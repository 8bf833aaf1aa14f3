/**
 * What worker and keeper say to each other on `<state>/keeper/keeper.sock`: one JSON object a line, both ways.
 *
 *   → {"id":1,"command":"hello"}                                                         ← {"id":1,"ok":{"version":1,"pid":4711,"holds":0}}
 *   → {"id":2,"command":"present","server":S,"socketPath":P,"timeoutMs":1000}            ← {"id":2,"ok":{"present":true}}
 *   → {"id":3,"command":"freeze","server":S,"socketPath":P,"holder":H,"budgetMs":10000}  ← {"id":3,"ok":{"frozen":2}}
 *   → {"id":4,"command":"thaw","server":S,"socketPath":P,"holder":H}                     ← {"id":4,"ok":{"thawed":2,"heldMs":31.5,"expired":false}}
 *   → {"id":5,"command":"shutdown","server":S,"socketPath":P,"mode":"powerdown"}         ← {"id":5,"ok":{"taken":true}}
 *   → {"id":6,"command":"status"}                                                        ← {"id":6,"ok":{"holds":[{"server":S,"holder":H,"state":"frozen","heldMs":12}]}}
 *   → {"id":7,"command":"retire"}       leave, to be replaced: only when nothing is held ← {"id":7,"ok":{"retired":true}}
 *   anything that cannot be done                                                         ← {"id":8,"failed":"refused","message":"…"}
 *
 * A freeze belongs to the connection that asked for it: when that closes, the guest is thawed.
 */
import type { Socket } from 'node:net'

/** Rises with every change; a worker replaces an older keeper, and gets along with a newer one. */
export const KEEPER_VERSION = 1

export interface Target {
  readonly server: string
  readonly socketPath: string
}

export type Command =
  | { readonly command: 'hello' }
  | ({ readonly command: 'present'; readonly timeoutMs: number } & Target)
  | ({ readonly command: 'freeze'; readonly holder: string; readonly budgetMs: number } & Target)
  | ({ readonly command: 'thaw'; readonly holder: string } & Target)
  | ({ readonly command: 'shutdown'; readonly mode: 'powerdown' | 'reboot' } & Target)
  | { readonly command: 'status' }
  | { readonly command: 'retire' }

export interface Answers {
  hello: { version: number; pid: number; holds: number }
  present: { present: boolean }
  freeze: { frozen: number }
  thaw: { thawed: number; heldMs: number; expired: boolean }
  shutdown: { taken: boolean }
  status: { holds: { server: string; holder: string; state: string; heldMs: number }[] }
  retire: { retired: boolean }
}

export type Reply = { readonly id: number } & ({ readonly ok: unknown } | { readonly failed: string; readonly message: string })

const MAX_LINE = 64 * 1024

/** Calls back once for each line; a line too long ends the connection. */
export function onLines(socket: Socket, callback: (line: string) => void): void {
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) callback(line)
    if (rest.length > MAX_LINE) socket.destroy()
  })
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.length > 0 && value.length < 256
const isMillis = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= 3_600_000

/** A request as typed above, or undefined. */
export function readRequest(line: string): { id: number; command: Command } | undefined {
  let value: Record<string, unknown>
  try {
    value = JSON.parse(line)
  } catch {
    return undefined
  }
  const { id, command, server, socketPath, holder, budgetMs, timeoutMs, mode } = value ?? {}
  if (typeof id !== 'number') return undefined
  if (command === 'hello' || command === 'status' || command === 'retire') return { id, command: { command } }
  if (!isText(server) || !isText(socketPath)) return undefined
  const target = { server, socketPath }
  if (command === 'present' && isMillis(timeoutMs)) return { id, command: { command, ...target, timeoutMs } }
  if (command === 'freeze' && isText(holder) && isMillis(budgetMs)) return { id, command: { command, ...target, holder, budgetMs } }
  if (command === 'thaw' && isText(holder)) return { id, command: { command, ...target, holder } }
  if (command === 'shutdown' && (mode === 'powerdown' || mode === 'reboot')) return { id, command: { command, ...target, mode } }
  return undefined
}
