/** The oracle's own QMP: plain text over the monitor for people. It shares no code with the engine. */
import { readdir, readFile } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'

export interface Monitor {
  ask<R = unknown>(execute: string, args?: object): Promise<R>
  /** A write the guest's device completes and flushes; false where it reported an error. */
  write(device: string, block: number, byte: number): Promise<boolean>
  close(): void
}

export async function openMonitor(path: string): Promise<Monitor> {
  const socket: Socket = createConnection(path)
  const waiting: { resolve(value: unknown): void; reject(error: Error): void }[] = []
  let text = ''
  const fail = (error: Error): void => {
    for (const one of waiting.splice(0)) one.reject(error)
  }
  socket.on('error', fail).on('close', () => fail(new Error('the monitor closed')))
  const greeting = new Promise((resolve, reject) => waiting.push({ resolve, reject }))
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = JSON.parse(text.slice(0, end))
      text = text.slice(end + 1)
      if ('event' in line) continue
      const next = waiting.shift()
      if ('error' in line) next?.reject(new Error(line.error.desc))
      else next?.resolve(line.return ?? line)
    }
  })
  const ask = <R>(execute: string, args: object = {}): Promise<R> =>
    new Promise((resolve, reject) => {
      if (socket.destroyed) return reject(new Error('the monitor closed'))
      waiting.push({ resolve: resolve as (value: unknown) => void, reject })
      socket.write(`${JSON.stringify({ execute, arguments: args })}\n`)
    })
  await greeting
  await ask('qmp_capabilities')
  return {
    ask,
    async write(device, block, byte) {
      const io = async (command: string): Promise<string> =>
        await ask('human-monitor-command', { 'command-line': `qemu-io -d /machine/peripheral/${device}/virtio-backend "${command}"` })
      const said = `${await io(`write -q -P ${byte} ${block}M 1M`)}${await io('flush')}`
      return !/error|fail|space/i.test(said)
    },
    close: () => socket.destroy(),
  }
}

/** Guest processes below a state directory: server id → pid, living ones only. */
export async function guests(dir: string): Promise<Map<string, number>> {
  const names = await readdir(join(dir, 'guests')).catch(() => [] as string[])
  const found = new Map<string, number>()
  for (const name of names.filter((one) => one.endsWith('.pid'))) {
    const pid = Number.parseInt(await readFile(join(dir, 'guests', name), 'utf8'), 10)
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    if (stat !== '' && !/\) [ZX] /.test(stat)) found.set(name.slice(0, -4), pid)
  }
  return found
}
