/** The process as an operator meets it: first start, second start, wrong settings, roles, signals, health and logs. */
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const run = promisify(execFile)
const MAIN = join(import.meta.dirname, '../../dist/src/main.js')
const TIMEOUT = 120_000

const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)
const upload = async (service: Service, bytes: Buffer): Promise<string> => {
  const { id } = await service.call<{ id: string }>('POST', '/image/v2/images', { disk_format: 'raw', container_format: 'bare' })
  const headers = { 'x-auth-token': await service.token(), 'content-type': 'application/octet-stream' }
  const answer = await fetch(`${service.url}/image/v2/images/${id}/file`, { method: 'PUT', headers, body: new Uint8Array(bytes) })
  expect(answer.status).toBe(204)
  return id
}
const ended = async (service: Service): Promise<number | null> =>
  await new Promise((resolve) => service.process.once('exit', (code) => resolve(code)))

/** Runs to its end: what it said and how it ended. */
async function start(args: readonly string[], env: Record<string, string> = {}): Promise<{ code: number; text: string }> {
  const options = { env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...env }, timeout: TIMEOUT }
  return await run(process.execPath, [MAIN, ...args], options).then(
    ({ stdout, stderr }) => ({ code: 0, text: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, text: error.stdout + error.stderr }),
  )
}

describe('the service', () => {
  let service: Service
  beforeAll(async () => {
    service = await startService({ env: { STRATA_ADMIN_PASSWORD: '' } })
  }, TIMEOUT)
  afterAll(async () => await service?.stop(), TIMEOUT)

  it('says on its first start where clouds.yaml lies, and keeps it to itself', () => {
    expect(service.log()).toContain(join(service.stateDir, 'clouds.yaml'))
    expect(mode(join(service.stateDir, 'clouds.yaml'))).toBe('600')
    expect(mode(service.stateDir)).toBe('700')
    for (const name of ['pools', 'staging', 'run', 'guests']) expect(mode(join(service.stateDir, name))).toBe('700')
    expect(mode(join(service.stateDir, 'strata.sqlite'))).toBe('600')
  })

  it('answers whether it lives, whether it can work, and what it counted', async () => {
    expect((await fetch(`${service.url}/healthz`)).status).toBe(200)
    await until(async () => (await fetch(`${service.url}/readyz`)).status === 200, { what: 'readiness' })
    await fetch(`${service.url}/volume/v3/volumes`)
    const metrics = await (await fetch(`${service.url}/metrics`)).text()
    for (const name of [
      'strata_requests_total',
      'strata_request_duration_seconds',
      'strata_jobs',
      'strata_queue_depth',
      'strata_freeze_seconds',
    ])
      expect(metrics).toContain(`# TYPE ${name} `)
    expect(metrics).toContain('strata_response_mismatches_total')
    expect(metrics).toMatch(/strata_requests_total\{service="volume",operation="listVolumes",status="401"\} \d/)
    expect((await fetch(`${service.url}/metrics`, { method: 'POST' })).status).toBe(405)
  })

  it(
    'drains on SIGTERM, takes its URL back, and is the same after another start',
    async () => {
      const clouds = readFileSync(join(service.stateDir, 'clouds.yaml'), 'utf8')
      const password = /password: (".*")/.exec(clouds)?.[1]
      const gone = ended(service)
      service.process.kill('SIGTERM')
      expect(await gone).toBe(0)
      expect(existsSync(join(service.stateDir, 'url'))).toBe(false)
      service = await startService({ stateDir: service.stateDir, env: { STRATA_ADMIN_PASSWORD: '' } })
      expect(readFileSync(join(service.stateDir, 'clouds.yaml'), 'utf8')).toContain(`password: ${password}`)
      expect(service.log()).not.toContain('clouds.yaml')
    },
    TIMEOUT,
  )

  it(
    'takes a new password of the admin at a start',
    async () => {
      service = await service.restart()
      const { stateDir } = service
      service.process.kill('SIGTERM')
      await ended(service)
      service = await startService({ stateDir })
      expect(await service.token()).toMatch(/^gAAAA/)
      expect(readFileSync(join(stateDir, 'clouds.yaml'), 'utf8')).toContain(`"${service.password}"`)
    },
    TIMEOUT,
  )
})

describe('the log of a running service', () => {
  it(
    'has a line for every request and job, and no password, token or hash',
    async () => {
      const canary = `canary-${randomBytes(8).toString('hex')}`
      const service = await startService({ env: { STRATA_LOG_LEVEL: 'debug', STRATA_DOORBELL_SECRET: `${canary}-bell` } })
      try {
        const token = await service.token()
        await upload(service, randomBytes(5000))
        const user = { user: { name: 'u1', password: canary } }
        await service.call('POST', '/identity/v3/users', user)
        const auth = {
          identity: { methods: ['password'], password: { user: { name: 'u1', domain: { id: 'default' }, password: `${canary}-wrong` } } },
        }
        await fetch(`${service.url}/identity/v3/auth/tokens`, {
          method: 'POST',
          body: JSON.stringify({ auth }),
          headers: { 'content-type': 'application/json' },
        })
        await fetch(`${service.url}/volume/v3/volumes`, { headers: { 'x-auth-token': `${token}x` } })
        await fetch(`${service.url}/compute/v2.1/servers`, {
          method: 'POST',
          headers: { 'x-auth-token': token, 'content-type': 'application/json' },
          body: `{"adminPass":"${canary}`,
        })
        await until(() => /"operation":"import-image".*"job ended"/.test(service.log()), { what: 'the job in the log' })
        const log = service.log()
        for (const secret of [canary, token, service.password, 'scrypt$']) expect(log).not.toContain(secret)
        const lines = log
          .split('\n')
          .filter((line) => line.startsWith('{'))
          .map((line) => JSON.parse(line))
        expect(lines.find((line) => line.operationId === 'uploadImageData')).toMatchObject({
          msg: 'request',
          requestId: expect.stringMatching(/^req-/),
          status: 204,
        })
        expect(lines.find((line) => line.operation === 'import-image')).toMatchObject({
          jobId: expect.any(String),
          requestId: expect.stringMatching(/^req-/),
        })
        const { stdout } = await run('ps', ['-o', 'args=', '-p', String(service.process.pid)])
        expect(stdout).not.toContain(canary)
      } finally {
        await service.stop()
      }
    },
    TIMEOUT,
  )
})

describe('an API and a worker as two processes', () => {
  it(
    'do together what one does alone',
    async () => {
      const api = await startService({ args: ['--role', 'api'] })
      const secret = 'a-shared-secret-of-32-characters'
      const env = {
        PATH: process.env['PATH'],
        STRATA_STATE_DIR: api.stateDir,
        STRATA_LISTEN: '127.0.0.1:0',
        STRATA_DOORBELL_SECRET: secret,
        STRATA_POLL_INTERVAL_MS: '200',
      }
      const worker = spawn(process.execPath, [MAIN, '--role', 'worker'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
      let said = ''
      worker.stdout.on('data', (chunk) => {
        said += chunk
      })
      try {
        const address = await until(() => /"url":"([^"]+)","role":"worker"/.exec(said)?.[1], { what: 'the worker' })
        expect((await fetch(`${address}/readyz`)).status).toBeLessThan(504)
        expect((await fetch(`${address}/volume/v3/volumes`)).status).toBe(404)
        const ring = (bell: string) => fetch(`${address}/strata/v1/doorbell`, { method: 'POST', headers: { 'x-strata-doorbell': bell } })
        expect((await ring('wrong')).status).toBe(401)
        expect((await ring(secret)).status).toBe(202)
        const facts = async () => {
          const { capabilities } = await api.call<{ capabilities: { host: { qemu_version: string | null } } }>(
            'GET',
            '/strata/v1/capabilities',
          )
          return capabilities.host.qemu_version === null ? undefined : capabilities.host
        }
        const host = await until(facts, { what: 'what the worker found out about its host' })
        expect(host).toMatchObject({ qemu_version: expect.stringMatching(/^\d+\.\d+/), machine: expect.stringMatching(/^pc/) })
        await upload(api, randomBytes(10_000))
        await until(() => said.includes('"operation":"import-image"'), { what: 'the worker to tell' })
        const gone = new Promise((resolve) => worker.once('exit', resolve))
        worker.kill('SIGTERM')
        expect(await gone).toBe(0)
      } finally {
        worker.kill('SIGKILL')
        await api.stop()
      }
    },
    TIMEOUT,
  )
})

describe('a backup of the database', () => {
  it(
    'is taken beside the running service, and a second one started on it knows the same',
    async () => {
      const service = await startService()
      const dir = mkdtempSync('/tmp/ss-')
      try {
        await service.call('POST', '/identity/v3/projects', { project: { name: 'before-the-backup' } })
        const env = { STRATA_STATE_DIR: service.stateDir, INIT_CWD: dir }
        const made = await start(['db', 'backup', 'strata.sqlite'], env)
        expect(made).toMatchObject({
          code: 0,
          text: expect.stringMatching(/^\S+\/strata\.sqlite\nsound: \d+ bytes, \d+ rows in \d+ tables/),
        })
        expect((await start(['db', 'check'], env)).text).toContain('sound: ')
        expect(await start(['db', 'backup', 'strata.sqlite'], env)).toMatchObject({
          code: 2,
          text: expect.stringContaining('overwrites nothing'),
        })
        expect(await start(['db', 'restore'], env)).toMatchObject({ code: 2, text: expect.stringContaining('db backup <file>') })
        const copy = await startService({ stateDir: dir })
        const { projects } = await copy.call<{ projects: { name: string }[] }>('GET', '/identity/v3/projects')
        expect(projects.map((project) => project.name)).toContain('before-the-backup')
        await copy.stop()
      } finally {
        await service.stop()
        rmSync(dir, { recursive: true, force: true })
      }
    },
    TIMEOUT,
  )
})

describe('a start that must not be', () => {
  const dir = mkdtempSync('/tmp/ss-')
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  it(
    'ends with 2 and every complaint in a sentence',
    async () => {
      const { code, text } = await start(['--listen', 'here', '--role', 'boss'], { STRATA_STATE_DIR: dir })
      expect(code).toBe(2)
      expect(text).toContain('Strata did not start')
      expect(text).toContain('--listen must be host:port')
      expect(text).toContain('--role must be one of')
    },
    TIMEOUT,
  )

  it(
    'says which programs are missing',
    async () => {
      const { code, text } = await start([], { STRATA_STATE_DIR: dir, PATH: '/nonexistent' })
      expect(code).toBe(2)
      expect(text).toContain('qemu-system-x86_64 (Debian package qemu-system-x86)')
    },
    TIMEOUT,
  )

  it(
    'says that another program listens there',
    async () => {
      const first = await startService()
      try {
        const { code, text } = await start(['--listen', new URL(first.url).host], { STRATA_STATE_DIR: first.stateDir })
        expect(code).toBe(2)
        expect(text).toContain('another program listens there')
        expect(readFileSync(join(first.stateDir, 'url'), 'utf8').trim()).toBe(first.url)
      } finally {
        await first.stop()
      }
    },
    TIMEOUT,
  )

  it.each(['default=/proc/strata/pool', 'default=/sys'])(
    'does not try to make a pool where files cannot be: %s',
    async (pools) => {
      const { code, text } = await start([], { STRATA_STATE_DIR: dir, STRATA_POOLS: pools })
      expect(code).toBe(2)
      expect(text).toMatch(/the pool default \S+ is on a file system that cannot hold files/)
    },
    TIMEOUT,
  )

  it(
    'finds its state directory in use by a service of another database or host, and lets that be',
    async () => {
      const first = await startService()
      try {
        const env = { STRATA_STATE_DIR: first.stateDir, STRATA_LISTEN: '127.0.0.1:0' }
        const other = await start([], { ...env, STRATA_DATABASE_URL: `sqlite:${join(dir, 'other.sqlite')}` })
        expect(other.code).toBe(2)
        expect(other.text).toContain(`is in use by process ${first.process.pid}, a service that uses another database`)
        const host = await start([], { ...env, STRATA_HOST: 'elsewhere' })
        expect(host.code).toBe(2)
        expect(host.text).toContain('a service that works for host')
        expect((await fetch(`${first.url}/healthz`)).status).toBe(200)
        // One that was killed is in nobody's way.
        first.process.kill('SIGKILL')
        await ended(first)
        const next = await startService({ stateDir: first.stateDir, env: { STRATA_DATABASE_URL: `sqlite:${join(dir, 'other.sqlite')}` } })
        await next.stop()
      } finally {
        await first.stop()
      }
    },
    TIMEOUT,
  )

  it(
    'only prints help and version when asked to',
    async () => {
      expect(await start(['--version'])).toEqual({ code: 0, text: '0.1.0\n' })
      expect((await start(['--help'])).text).toContain('STRATA_LISTEN')
    },
    TIMEOUT,
  )
})
