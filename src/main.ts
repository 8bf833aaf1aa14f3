/**
 * The one composition root. `--role all` (the default) serves the API and runs jobs in one process; `api` and `worker` do
 * one of the two on a shared database. Everything that is not needed for the first answer is loaded after it.
 *
 * SIGTERM or SIGINT drains: the URL is taken back, no new requests, no new jobs; running jobs end or are left at a safe
 * place for the next worker. Guests and the freeze keeper are processes of their own and go on.
 */
import { readFile } from 'node:fs/promises'
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { ensureAdmin, ensureHost } from './bootstrap.js'
import { BadConfig, type Config, JustPrint, loadConfig } from './config.js'
import { systemClock as clock } from './host/clock.js'
import { createRemoteDoorbell } from './host/doorbell.js'
import { createHostAuditor } from './host/host-auditor.js'
import { createImageStore } from './host/image-store.js'
import { oldQemu, preflight, unfitPlaces } from './host/preflight.js'
import {
  cloudsFile,
  keptPassword,
  leave,
  newPassword,
  occupy,
  prepareStateDir,
  removeUrl,
  writeClouds,
  writeUrl,
} from './host/state-dir.js'
import { createLogger, type Logger } from './logger.js'
import { createMetrics } from './metrics.js'
import { createBell, createOps } from './ops-http.js'
import type { Doorbell } from './ports/doorbell.js'
import { ANY, type Database } from './ports/stores.js'
import { DEFAULT_SETTINGS } from './services/deps.js'
import type { Services } from './services/services.js'
import { version } from './version.js'
import type { startWork } from './work.js'
import { createLocalDoorbell, type LocalDoorbell } from './worker/doorbell.js'

const HOUSEKEEPING_MS = 60_000

async function main(): Promise<void> {
  process.umask(0o077)
  if (process.argv[2] === 'db') {
    const { runDb } = await import('./db-command.js')
    throw new JustPrint(await runDb(process.argv.slice(3), process.env))
  }
  if (process.argv[2] === 'key') {
    const { runKey } = await import('./key-command.js')
    throw new JustPrint(await runKey(process.argv.slice(3), process.env))
  }
  const config = await loadConfig(process.argv.slice(2), process.env)
  const log = createLogger({ level: config.logLevel, secrets: [config.adminPassword, config.databaseUrl, config.doorbellSecret] })
  await ready(config, log)
  await serve(config, log)
}

/** Refuses to go on where this host cannot do its work. */
async function ready(config: Config, log: Logger): Promise<void> {
  for (const warning of config.warnings) log.warn(warning)
  const unfit = await unfitPlaces(config)
  if (unfit.length > 0) throw new BadConfig(unfit)
  await prepareStateDir(config.stateDir, config.pools).catch((error: Error) => {
    throw new BadConfig([`the state directory or a pool cannot be made: ${error.message}`])
  })
  const found = await preflight({ stateDir: config.stateDir, pools: config.pools, worker: config.role !== 'api' })
  if (found.refusals.length > 0) throw new BadConfig(found.refusals)
  for (const warning of found.warnings) log.warn(warning)
}

async function serve(config: Config, log: Logger): Promise<void> {
  const works = config.role !== 'api'
  const answers = config.role !== 'worker'
  const { openDatabase } = await import('../db/connection.js')
  const { seedDatabase } = await import('../db/seed.js')
  const db = await openDatabase({ url: config.databaseUrl, logger: log }).catch((error: Error) => {
    throw new BadConfig([`STRATA_DATABASE_URL: the database cannot be used: ${error.message}`])
  })
  await seedDatabase(db, clock.now())
  await moveIn(config, db)
  const local = createLocalDoorbell()
  const doorbell = bells(config, db, local)

  let work: Awaited<ReturnType<typeof startWork>> | undefined
  const metrics = createMetrics({
    jobs: async () =>
      await db.read.jobs.list(ANY, { where: { state: { in: ['queued', 'running', 'undoing', 'needs_attention'] } }, limit: 10_000 }),
  })
  const ops = createOps({
    metrics,
    readiness: async () => {
      const database = await db.read.roles.count(ANY).then(
        () => 'ok',
        () => 'does not answer',
      )
      const worker = works ? (work === undefined ? 'starting' : work.state()) : 'elsewhere'
      return { ready: database === 'ok' && (worker === 'ok' || worker === 'elsewhere'), checks: { database, worker } }
    },
  })

  let services: Services | undefined
  let handler: RequestListener = (request, response) => {
    if (!ops(request, response)) createBell({ secret: config.doorbellSecret, ring: () => local.ring(config.host) })(request, response)
  }
  const parts = await import('./work.js')
  const adapters = parts.createAdapters(config, { db, clock })
  if (answers) {
    const { createServices } = await import('./services/services.js')
    services = createServices({
      db,
      doorbell,
      clock,
      settings: {
        ...DEFAULT_SETTINGS,
        hostId: config.host,
        stagingDir: parts.stagingDir(config),
        region: config.region,
        availabilityZone: config.availabilityZone,
        tokenLifetime: config.tokenLifetime,
        loginAttempts: config.loginAttempts,
        maxImageSize: config.maxImageSize,
        maxVirtualSize: config.maxVirtualSize,
        doorbellSecret: config.doorbellSecret,
      },
      imageStore: createImageStore({ stagingDir: parts.stagingDir(config) }),
      auditor: createHostAuditor({
        db,
        doorbell,
        clock,
        own: works ? { hostId: config.host, auditor: adapters.ports.auditor } : undefined,
      }),
      console: adapters.ports.hypervisor,
    })
    const { createApp } = await import('../api/app.js')
    handler = await createApp({
      services,
      publicUrl: config.publicUrl,
      trustProxy: config.trustedProxy,
      bodyLimit: config.maxBody,
      mount: (app) => app.use((request, response, next) => (ops(request, response) ? undefined : next())),
      observe: {
        finished: (entry) => {
          metrics.request(entry)
          log.info({ ...entry, millis: Math.round(entry.millis * 1000) / 1000 }, 'request')
        },
        failed: (error, entry) => log.error({ ...entry, err: error }, 'request failed'),
        mismatched: (operationId, problems) => {
          metrics.mismatch(operationId)
          log.error({ operationId, problems }, 'the answer did not fit the contract')
        },
      },
    })
  }

  const server = await listen(config, handler)
  // Not sooner: if another service runs here, the URL is its own, and we end for want of its port.
  if (answers) await removeUrl(config.stateDir)
  const { port } = server.address() as AddressInfo
  const url = config.publicUrl ?? ownUrl(config, port)
  await ensureHost(db, clock, { id: config.host, address: ownUrl(config, port), pools: config.pools, isWorker: works })
  if (services !== undefined) await introduce(config, db, services, url)
  // From here on whoever reads the URL may also wish us to end.
  const wish = asked(log)
  if (answers) await writeUrl(config.stateDir, url)
  log.info({ url, role: config.role, version: version(), stateDir: config.stateDir, host: config.host }, 'ready')

  if (works) {
    work = await parts.startWork({ config, adapters, doorbell, local, log, metrics })
    void oldQemu().then((warning) => (warning === undefined ? undefined : log.warn(warning)))
  }
  void keepHouse(db, services, log)
  const housekeeping = setInterval(() => void keepHouse(db, services, log), HOUSEKEEPING_MS)

  await wish
  log.info('draining')
  clearInterval(housekeeping)
  if (answers) await removeUrl(config.stateDir, url)
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeIdleConnections()
  // Nothing that is not whole by now would be imported by this process.
  const uploadsEnded = services?.image.endUploads()
  if (config.saveGuests) await work?.saveGuests().catch((err: unknown) => log.error({ err }, 'not all guests could be saved'))
  await work?.drain(config.drainMs)
  // Answers that still wait for a job will not get one here.
  setTimeout(() => server.closeAllConnections(), 1_000).unref()
  await closed
  await uploadsEnded
  await adapters.close()
  await db.close()
  await leave(config.stateDir, process.pid)
  log.info('stopped')
}

/** Before a guest, a layer or `clouds.yaml` is touched (the directories and the database are there): is there a service of another database or host? */
async function moveIn(config: Config, db: Database): Promise<void> {
  const { isAlive, startTimeOf } = await import('./worker/processes.js')
  // Made with the database, by chance: the same however its URL is spelt.
  const [role] = await db.read.roles.list(ANY, { where: { name: { is: 'admin' } }, limit: 1 })
  const me = { pid: process.pid, startTime: (await startTimeOf(process.pid)) ?? 0, database: role?.id ?? '', host: config.host }
  const other = await occupy(config.stateDir, me, isAlive)
  if (other === undefined) return
  const what = other.host === config.host ? 'uses another database' : `works for host ${other.host}`
  throw new BadConfig([
    `STRATA_STATE_DIR: ${config.stateDir} is in use by process ${other.pid}, a service that ${what}; give each its own state directory`,
  ])
}

const bells = (config: Config, db: Database, local: LocalDoorbell): Doorbell =>
  config.doorbellSecret === undefined
    ? local
    : createRemoteDoorbell({ db, secret: config.doorbellSecret, ownHost: config.role === 'api' ? undefined : config.host, local })

async function listen(config: Config, handler: RequestListener): Promise<Server> {
  const server =
    config.tlsCertificate === undefined || config.tlsKey === undefined
      ? createHttpServer(handler)
      : createHttpsServer({ cert: await readFile(config.tlsCertificate), key: await readFile(config.tlsKey) }, handler)
  // Uploads and downloads take as long as they take; headers do not.
  server.requestTimeout = 0
  server.headersTimeout = 30_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const { host, port } = config.listen
      const why = error.code === 'EADDRINUSE' ? 'another program listens there' : error.message
      reject(new BadConfig([`STRATA_LISTEN: cannot listen at ${host}:${port}: ${why}`]))
    })
    server.listen(config.listen.port, config.listen.host, resolve)
  })
  return server
}

function ownUrl({ listen: { host }, tlsKey }: Config, port: number): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host
  return `${tlsKey === undefined ? 'http' : 'https'}://${reachable}:${port}`
}

/** clouds.yaml with the admin's password; on the first start a word about where it lies. */
async function introduce(config: Config, db: Database, services: Services, url: string): Promise<void> {
  const kept = await keptPassword(config.stateDir)
  const { password, created } = await ensureAdmin(services.identity, db, { configured: config.adminPassword, kept, fresh: newPassword })
  if (password === undefined) return
  await writeClouds(config.stateDir, { url, password, region: config.region, certificate: config.tlsCertificate })
  if (created)
    process.stderr.write(`The password of user admin is in ${cloudsFile(config.stateDir)}; use it with: openstack --os-cloud strata\n`)
}

async function keepHouse(
  db: Awaited<ReturnType<typeof import('../db/connection.js').openDatabase>>,
  services: Services | undefined,
  log: Logger,
): Promise<void> {
  try {
    await db.purge()
    await services?.image.sweepUploads()
    const expired = (await services?.serverSnapshot.removeExpired()) ?? 0
    if (expired > 0) log.info({ expired }, 'expired server snapshots are being deleted')
  } catch (error) {
    log.warn({ err: error }, 'housekeeping failed and will be tried again')
  }
}

/** Resolves at the first wish to end; at the second there is no more waiting. */
function asked(log: Logger): Promise<void> {
  return new Promise((resolve) => {
    let before = false
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.on(signal, () => {
        if (before) process.exit(1)
        before = true
        log.info({ signal }, 'asked to stop')
        resolve()
      })
  })
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    if (error instanceof JustPrint) {
      process.stdout.write(error.message.endsWith('\n') ? error.message : `${error.message}\n`)
      process.exit(0)
    }
    const text =
      error instanceof BadConfig
        ? error.complaints.map((line) => `- ${line}`).join('\n')
        : error instanceof Error
          ? (error.stack ?? error.message)
          : String(error)
    process.stderr.write(
      `${process.argv[2] === 'db' || process.argv[2] === 'key' ? 'Strata did not do it' : 'Strata did not start'}:\n${text}\n`,
    )
    process.exit(error instanceof BadConfig ? 2 : 1)
  },
)
