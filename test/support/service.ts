/**
 * The whole service as users run it: `node dist/src/main.js` in a state directory of its own, on a port of its
 * own. `stop` ends the process, then every guest and the keeper it left behind, by the pid files it wrote.
 * Needs a build (`npm test` builds first).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { leavePlaceOf } from './guest-place.js'
import { until } from './until.js'

const MAIN = join(import.meta.dirname, '../../dist/src/main.js')

export interface Service {
  readonly url: string
  readonly stateDir: string
  readonly password: string
  readonly process: ChildProcess
  /** What it wrote to stdout and stderr so far. */
  log(): string
  /** JSON over HTTP with the admin's token; throws on a status outside `expect` (default: any 2xx). */
  call<T = Record<string, unknown>>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<T>
  token(): Promise<string>
  restart(): Promise<Service>
  stop(): Promise<void>
}

export interface ServiceOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly stateDir?: string
  readonly args?: readonly string[]
  /** A file system of this size as the default pool, seen by the service alone. */
  readonly tinyPool?: string
}

export async function startService(options: ServiceOptions = {}): Promise<Service> {
  if (!existsSync(MAIN)) throw new Error('no build: run `npm run build` first')
  const stateDir = options.stateDir ?? (await mkdtemp('/tmp/strata-'))
  const password = 'tests-only'
  await rm(join(stateDir, 'url'), { force: true })
  const [command = '', ...args] = [...commandPrefix(stateDir, options.tinyPool), process.execPath, MAIN, ...(options.args ?? [])]
  const child = spawn(command, args, {
    env: {
      ...process.env,
      STRATA_LISTEN: '127.0.0.1:0',
      STRATA_STATE_DIR: stateDir,
      STRATA_ADMIN_PASSWORD: password,
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  const url = await until(
    async () => {
      if (child.exitCode !== null) throw new Error(`the service ended with ${child.exitCode}:\n${output}`)
      // Of processes that share a state directory only those that answer clients write the file.
      const isWorker = options.args?.includes('worker') === true
      if (isWorker) return /"url":"([^"]+)".*"msg":"ready"/.exec(output)?.[1]
      return existsSync(join(stateDir, 'url')) ? (await readFile(join(stateDir, 'url'), 'utf8')).trim() || undefined : undefined
    },
    { what: 'the service to be ready', timeoutMs: 30_000 },
  ).catch((error: unknown) => {
    child.kill('SIGKILL')
    throw new Error(`${(error as Error).message}; it said:\n${output}`)
  })

  let secret: string | undefined
  const token = async (): Promise<string> => {
    secret ??= await issueToken(url, password)
    return secret
  }
  const service: Service = {
    url,
    stateDir,
    password,
    process: child,
    log: () => output,
    token,
    async call(method, path, body, headers = {}) {
      const response = await fetch(url + path, {
        method,
        headers: { 'x-auth-token': await token(), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
      return (text === '' ? {} : JSON.parse(text)) as never
    },
    async restart() {
      await end(child)
      return await startService({ ...options, stateDir })
    },
    async stop() {
      await end(child)
      await endLeftovers(stateDir)
      await leavePlaceOf(stateDir)
      await rm(stateDir, { recursive: true, force: true })
    },
  }
  return service
}

/** The mount goes with the namespace, and that with its last process. Without root, one is root in a namespace of users first. */
function commandPrefix(stateDir: string, tinyPool: string | undefined): string[] {
  if (tinyPool === undefined) return []
  const script = 'mkdir -p "$1" && mount -t tmpfs -o "size=$2,mode=700" pool "$1" && shift 2 && exec "$@"'
  const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  return ['unshare', ...asRoot, '--mount', 'sh', '-c', script, 'sh', join(stateDir, 'pools', 'default'), tinyPool]
}

async function issueToken(url: string, password: string): Promise<string> {
  const domain = { name: 'Default' }
  const response = await fetch(`${url}/identity/v3/auth/tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      auth: {
        identity: { methods: ['password'], password: { user: { name: 'admin', domain, password } } },
        scope: { project: { name: 'admin', domain } },
      },
    }),
  })
  if (response.status !== 201) throw new Error(`no token: ${response.status} ${await response.text()}`)
  return response.headers.get('x-subject-token') ?? ''
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
  await gone
  clearTimeout(timer)
}

/** Guests and the keeper outlive the service by design: end those of this state directory, and only those. */
async function endLeftovers(stateDir: string): Promise<void> {
  for (const folder of ['guests', 'keeper']) {
    for (const name of await readdir(join(stateDir, folder)).catch(() => [])) {
      if (!name.endsWith('.pid')) continue
      const pid = Number.parseInt(await readFile(join(stateDir, folder, name), 'utf8').catch(() => ''), 10)
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      if (line.includes(stateDir)) process.kill(pid, 'SIGKILL')
    }
  }
}
