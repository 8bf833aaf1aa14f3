/**
 * The floor: the same QMP done by hand on a QEMU of our own, without database, journal, HTTP or recovery.
 * A line of JSON out, a line back. The overlay is written in process, as ours is.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import { until } from '../support/until.js'

type Reply = { return?: unknown; error?: { desc: string }; event?: string }

export interface RawQemu {
  dir: string
  execute<T = unknown>(command: string, args?: object): Promise<T>
  /** Overlay file, two nodes, transaction: what a live disk snapshot costs at least. */
  snapshot(): Promise<void>
  /** Commits the active layer into the one below and pivots; resolves when concluded. */
  commit(top: string, base: string, id: string): Promise<void>
  /** Pulls the base up into the top; resolves when concluded. */
  stream(top: string, id: string): Promise<void>
  /** Copies the top's whole view into a new qcow2 and pivots; resolves when concluded. */
  mirror(top: string, id: string): Promise<void>
  stop(): Promise<void>
}

/** With `fill`, a chain of two layers, filled by it: both, or the lower alone. */
export async function startRawQemu(
  sizeBytes: number,
  fill?: (path: string) => Promise<void>,
  filled: 'both' | 'lower' = 'both',
): Promise<RawQemu> {
  const dir = await mkdtemp('/tmp/strata-raw-')
  const files = createLayerFiles()
  const layer = (n: number) => ({ layerId: `raw-${n}`, path: join(dir, `l${n}.qcow2`), format: 'qcow2' as const, virtualSize: sizeBytes })
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', layer(0).path, String(sizeBytes)])
  const last = fill === undefined ? 0 : 1
  if (fill !== undefined) {
    await fill(layer(0).path)
    await files.create(layer(1), layer(0))
    if (filled === 'both') await fill(layer(1).path)
  }
  const nodes = Array.from({ length: last + 1 }, (_, n) => [
    { driver: 'file', 'node-name': `f${n}`, filename: layer(n).path, discard: 'unmap' },
    { driver: 'qcow2', 'node-name': `q${n}`, file: `f${n}`, backing: n === 0 ? null : `q${n - 1}`, discard: 'unmap' },
  ]).flat()
  const socket = join(dir, 'q.sock')
  const child: ChildProcess = spawn('qemu-system-x86_64', [
    ...['-accel', 'tcg', '-machine', 'pc', '-m', '64', '-display', 'none', '-nodefaults', '-no-user-config', '-S'],
    ...['-qmp', `unix:${socket},server=on,wait=off`],
    ...nodes.flatMap((node) => ['-blockdev', JSON.stringify(node)]),
    ...['-device', `virtio-blk-pci,id=d0,drive=q${last}`],
  ])
  const wire = await until(() => dial(socket), { what: 'the raw QEMU' })
  const waiting: ((reply: Reply) => void)[] = []
  const events: ((reply: Reply) => void)[] = []
  createInterface({ input: wire }).on('line', (line) => {
    const reply = JSON.parse(line) as Reply
    if (reply.event !== undefined) for (const listener of events) listener(reply)
    else if (reply.return !== undefined || reply.error !== undefined) waiting.shift()?.(reply)
  })
  const execute = async <T>(command: string, args: object = {}): Promise<T> => {
    const reply = await new Promise<Reply>((resolve) => {
      waiting.push(resolve)
      wire.write(`${JSON.stringify({ execute: command, arguments: args })}\n`)
    })
    if (reply.error !== undefined) throw new Error(`${command}: ${reply.error.desc}`)
    return reply.return as T
  }
  await execute('qmp_capabilities')
  /** Starts it, pivots where it becomes ready, and waits for its end. */
  const job = async (command: string, args: object, id: string, pivots: boolean): Promise<void> => {
    const reaches = (status: string): Promise<void> =>
      new Promise((resolve) => {
        events.push((reply) => {
          const data = (reply as { data?: { id?: string; status?: string } }).data
          if (reply.event === 'JOB_STATUS_CHANGE' && data?.id === id && data.status === status) resolve()
        })
      })
    const [ready, done] = [reaches('ready'), reaches('concluded')]
    await execute(command, { 'job-id': id, ...args, 'auto-dismiss': false })
    if (pivots) {
      await ready
      await execute('job-complete', { id })
    }
    await done
    await execute('job-dismiss', { id })
  }
  let depth = last
  return {
    dir,
    execute,
    async snapshot() {
      const next = depth + 1
      await files.create(layer(next), layer(depth))
      await execute('blockdev-add', { driver: 'file', 'node-name': `f${next}`, filename: layer(next).path, discard: 'unmap' })
      await execute('blockdev-add', { driver: 'qcow2', 'node-name': `q${next}`, file: `f${next}`, backing: null, discard: 'unmap' })
      await execute('transaction', { actions: [{ type: 'blockdev-snapshot', data: { node: `q${depth}`, overlay: `q${next}` } }] })
      depth = next
    },
    async commit(top, base, id) {
      await job('block-commit', { device: top, 'top-node': top, 'base-node': base }, id, true)
    },
    async stream(top, id) {
      await job('block-stream', { device: top }, id, false)
    },
    async mirror(top, id) {
      const path = join(dir, `${id}.qcow2`)
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, String(sizeBytes)])
      await execute('blockdev-add', { driver: 'file', 'node-name': `f${id}`, filename: path, discard: 'unmap' })
      await execute('blockdev-add', { driver: 'qcow2', 'node-name': `q${id}`, file: `f${id}`, backing: null, discard: 'unmap' })
      await job('blockdev-mirror', { device: top, target: `q${id}`, sync: 'full' }, id, true)
    },
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      wire.destroy()
      child.kill('SIGKILL')
      await gone
      await rm(dir, { recursive: true, force: true })
    },
  }
}

function dial(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => resolve(socket))
    socket.once('error', () => resolve(undefined))
  })
}
