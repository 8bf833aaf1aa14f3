/**
 * The tiny guest for tests: built once into .cache/guest (parallel tests wait for one builder), started by hand and not
 * by the program under test, in one of the machine's two places for guests.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startInPlace } from './guest-place.js'
import { until } from './until.js'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface GuestFiles {
  readonly kernel: string
  readonly initrd: string
}

export async function guestFiles(): Promise<GuestFiles> {
  const directory = join(ROOT, '.cache', 'guest')
  mkdirSync(directory, { recursive: true })
  await run('flock', [join(directory, 'build.lock'), 'bash', join(ROOT, 'deploy', 'guest', 'build-guest.sh'), directory])
  return { kernel: join(directory, 'vmlinuz'), initrd: join(directory, 'guest.cpio.gz') }
}

export interface TestGuest {
  readonly pid: number
  /** Everything on the serial line so far. */
  console(): string
  /** Waits for a line and returns the match. */
  says(pattern: RegExp): Promise<RegExpMatchArray>
  qmp(command: string, args?: object): Promise<unknown>
  /** Ends QEMU at once. */
  kill(): Promise<void>
}

/** `directory` gets qmp.sock, ga.sock and console.log; `disks` are qcow2 files, shown as vda, vdb, … */
export async function startGuest(options: {
  directory: string
  disks: readonly string[]
  flags?: string
  /** With a port it beats on (flag `hb=1`): hb.sock in the directory. */
  heartbeat?: boolean
  memoryMib?: number
}): Promise<TestGuest> {
  const { directory, disks, flags = 'wr=1', heartbeat = false, memoryMib = 256 } = options
  const { kernel, initrd } = await guestFiles()
  const log = join(directory, 'console.log')
  const drives = disks.flatMap((filename, index) => [
    '-blockdev',
    JSON.stringify({ driver: 'qcow2', 'node-name': `disk${index}`, file: { driver: 'file', filename }, backing: null }),
    '-device',
    `virtio-blk-pci,drive=disk${index},id=vd${index}`,
  ])
  const args = [
    ['-accel', 'tcg', '-cpu', 'max', '-machine', 'pc,graphics=off', '-m', String(memoryMib)],
    ['-display', 'none', '-nodefaults', '-no-user-config', '-no-shutdown', '-serial', `file:${log}`],
    ['-qmp', `unix:${join(directory, 'qmp.sock')},server=on,wait=off`],
    ['-device', 'virtio-serial-pci', '-chardev', `socket,id=ga,path=${join(directory, 'ga.sock')},server=on,wait=off`],
    ['-device', 'virtserialport,chardev=ga,name=org.qemu.guest_agent.0'],
    heartbeat ? ['-chardev', `socket,id=hb,path=${join(directory, 'hb.sock')},server=on,wait=off`] : [],
    heartbeat ? ['-device', 'virtserialport,chardev=hb,name=hb.tick'] : [],
    ['-kernel', kernel, '-initrd', initrd, '-append', `console=ttyS0 quiet ${flags}`],
    drives,
  ].flat()
  const child = await startInPlace(['qemu-system-x86_64', ...args], 'qemu')
  const qmp = await connectQmp(join(directory, 'qmp.sock'))
  const text = (): string => readFileSync(log, 'utf8')
  return {
    pid: child.pid ?? 0,
    console: text,
    says: (pattern) => until(() => text().match(pattern) ?? undefined, { what: `${pattern} on the console`, timeoutMs: 60_000 }),
    qmp: qmp.execute,
    async kill() {
      qmp.close()
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    },
  }
}

async function connectQmp(path: string): Promise<{ execute: TestGuest['qmp']; close(): void }> {
  const socket = await until(() => tryConnect(path), { what: 'the monitor', everyMs: 10 })
  const waiting: ((message: Record<string, unknown>) => void)[] = []
  let rest = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const message = JSON.parse(line)
      if ('return' in message || 'error' in message) waiting.shift()?.(message)
    }
  })
  socket.on('error', () => socket.destroy())
  async function execute(command: string, args: object = {}): Promise<unknown> {
    const answered = new Promise<Record<string, unknown>>((resolve) => waiting.push(resolve))
    socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`)
    const message = await answered
    if ('error' in message) throw new Error(`${command}: ${JSON.stringify(message['error'])}`)
    return message['return']
  }
  await execute('qmp_capabilities')
  return { execute, close: () => void socket.destroy() }
}

async function tryConnect(path: string): Promise<Socket | undefined> {
  return await new Promise((resolve) => {
    const socket = createConnection(path)
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      resolve(socket)
    })
    socket.once('error', () => resolve(undefined))
  })
}
