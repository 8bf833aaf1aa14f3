/**
 * Chains of stopped servers, opened in a qemu-storage-daemon: the same BlockHost, without a guest. One daemon
 * per name, so that whoever comes after a crash finds the one at work; it dies with the worker that started
 * it, for nobody else would know when it is done.
 */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { refused } from '../domain/errors.js'
import { formatNode } from '../domain/names.js'
import type { Chain, OfflineHost, OfflineHosts } from '../ports/block.js'
import { createBlockHost, openLayer } from './block-host.js'
import { escapeCommas } from './command-line.js'
import { awaitMonitor, findProcess, forgetProcess, killProcess, type ProcessIdentity, startProcess, waitUntilGone } from './process.js'
import { QmpSession } from './qmp/session.js'

export interface OfflineHostsOptions {
  readonly stateDir: string
  readonly binary?: string
}

export interface ClosableOfflineHosts extends OfflineHosts {
  /** Lets go of our sessions; the daemons go on until `release` or our end. */
  close(): Promise<void>
}

interface Daemon {
  readonly session: QmpSession
  readonly identity: ProcessIdentity
}

export function createOfflineHosts({ stateDir, binary = 'qemu-storage-daemon' }: OfflineHostsOptions): ClosableOfflineHosts {
  const runDir = join(stateDir, 'run')
  const daemons = new Map<string, Daemon>()

  const end = async (name: string, { session, identity }: Daemon): Promise<void> => {
    daemons.delete(name)
    const told = await session.execute('quit').then(
      () => true,
      () => false,
    )
    session.close()
    // What finished was flushed when it finished: a daemon that does not listen can be ended like a crashed one.
    if (!told || !(await waitUntilGone(identity, QUIT_MS))) await killProcess(identity)
    await sweep(runDir, name)
  }

  const start = async (name: string): Promise<Daemon> => {
    const { socket, record, said } = pathsOf(runDir, name)
    await mkdir(runDir, { recursive: true, mode: 0o700 })
    await sweep(runDir, name)
    // Waits for us before it sets its monitor up, as guests do: see command-line.ts.
    const chardev = `socket,id=ours,path=${escapeCommas(socket)},server=on,wait=on`
    const args = ['--pdeathsig', 'KILL', '--', binary, '--chardev', chardev, '--monitor', 'chardev=ours']
    try {
      const started = await startProcess({ command: 'setpriv', args, logPath: said, record })
      return { session: await awaitMonitor(started, socket, said, START_MS), identity: started.identity }
    } catch (error) {
      await sweep(runDir, name)
      throw error
    }
  }

  const adopt = async (name: string): Promise<Daemon | undefined> => {
    const { socket, record } = pathsOf(runDir, name)
    const identity = await findProcess(record, socket)
    const known = daemons.get(name)
    if (identity === undefined) return undefined
    if (known !== undefined && known.session.state === 'running' && isDeepStrictEqual(known.identity, identity)) return known
    const session = new QmpSession({ path: socket, connectTimeoutMs: START_MS })
    try {
      await session.connect()
      return { session, identity }
    } catch {
      // One that does not answer is of no use to anyone, and its images are closed images: they can take it.
      await killProcess(identity)
      return undefined
    }
  }

  return {
    open: async (name: string, chain: Chain): Promise<OfflineHost> => {
      checkName(runDir, name)
      const adopted = await adopt(name)
      const daemon = adopted ?? (await start(name))
      daemons.set(name, daemon)
      try {
        await openChain(daemon.session, chain)
      } catch (error) {
        if (adopted === undefined) await end(name, daemon)
        throw error
      }
      return { ...createBlockHost({ session: daemon.session, live: false }), release: () => end(name, daemon) }
    },
    close: async () => {
      for (const { session } of daemons.values()) session.close()
      daemons.clear()
    },
  }
}

const START_MS = 10_000
const QUIT_MS = 30_000

async function openChain(session: QmpSession, chain: Chain): Promise<void> {
  let backing: string | null = null
  for (const layer of [...chain].reverse()) {
    await openLayer(session, layer, backing, layer === chain[0])
    backing = formatNode(layer.layerId)
  }
}

function checkName(runDir: string, name: string): void {
  if (!/^[a-z0-9-]{1,64}$/.test(name)) throw new TypeError(`not a name for a storage daemon: ${JSON.stringify(name)}`)
  const { socket } = pathsOf(runDir, name)
  if (Buffer.byteLength(socket) >= 100) throw refused(`the path of a socket is too long: ${socket}`)
}

const pathsOf = (runDir: string, name: string) => ({
  socket: join(runDir, `${name}.sock`),
  record: join(runDir, name),
  said: join(runDir, `${name}.log`),
})

async function sweep(runDir: string, name: string): Promise<void> {
  const { socket, record, said } = pathsOf(runDir, name)
  await rm(socket, { force: true })
  await rm(said, { force: true })
  await forgetProcess(record)
}
