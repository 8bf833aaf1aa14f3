/**
 * A private MariaDB for one test run: its own data directory, a socket and no port, durable as in production (a commit
 * is on disk). Started once by global-setup.ts; it dies with the test runner, even a killed one.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface MariaDb {
  readonly socketPath: string
  /** Killed, and started again on the same data. */
  restart(whileAway?: () => Promise<void>): Promise<void>
  stop(): Promise<void>
}

const MISSING =
  'These tests need a MariaDB server: "mariadbd" was not found. On Debian: apt-get install mariadb-server (no service need be running).'

const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin` }

export async function startMariaDb(): Promise<MariaDb> {
  const home = await mkdtemp('/tmp/strata-db-')
  const data = join(home, 'data')
  const socketPath = join(home, 's.sock')
  const asRoot = process.getuid?.() === 0 ? ['--user=root'] : []
  await run(
    'mariadb-install-db',
    ['--no-defaults', ...asRoot, `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db', '--skip-name-resolve'],
    { env },
  ).catch(async (error: NodeJS.ErrnoException) => {
    await rm(home, { recursive: true, force: true })
    throw error.code === 'ENOENT' ? new Error(MISSING) : error
  })
  const begin = (): ChildProcess =>
    spawn(
      'setpriv',
      [
        '--pdeathsig',
        'KILL',
        'mariadbd',
        '--no-defaults',
        ...asRoot,
        `--datadir=${data}`,
        `--socket=${socketPath}`,
        `--tmpdir=${home}`,
        `--pid-file=${join(home, 'pid')}`,
        '--skip-networking',
        '--skip-name-resolve',
        '--skip-log-bin',
        '--character-set-server=utf8mb4',
        '--default-time-zone=+00:00',
        '--transaction-isolation=READ-COMMITTED',
        '--max-connections=400',
      ],
      { env, stdio: ['ignore', 'ignore', 'pipe'] },
    )
  const start = async () => {
    const server = begin()
    let said = ''
    server.stderr?.on('data', (chunk) => {
      said = (said + String(chunk)).slice(-4000)
    })
    const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()))
    server.once('error', () => {})
    await untilReady(server, socketPath, () => said)
    return async (): Promise<void> => {
      server.kill('SIGKILL')
      await ended
    }
  }
  let kill = await start()
  return {
    socketPath,
    async restart(whileAway) {
      await kill()
      await whileAway?.()
      kill = await start()
    },
    async stop() {
      // Nothing in it is wanted again: no orderly shutdown, which takes a second.
      await kill()
      await rm(home, { recursive: true, force: true })
    },
  }
}

async function untilReady(server: ChildProcess, socketPath: string, said: () => string): Promise<void> {
  for (let tries = 0; ; tries++) {
    if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) {
      throw new Error(`mariadbd ended at its start: ${said()}`)
    }
    try {
      await mariaDbSays(socketPath, 'SELECT 1')
      return
    } catch (error) {
      if (tries > 600) throw error
      await delay(50)
    }
  }
}

/** Runs SQL as the server's root by the command-line client: for what tests do behind the program's back. */
export async function mariaDbSays(socketPath: string, sql: string): Promise<string> {
  const { stdout } = await run('mariadb', ['--no-defaults', '-uroot', `--socket=${socketPath}`, '-N', '-B', '-e', sql], { env })
  return stdout
}
