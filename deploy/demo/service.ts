/** The service of the demo: started in a state directory of its own, and ended with everything it left behind. */
import { spawn } from 'node:child_process'
import { existsSync, openSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const ROOT = join(import.meta.dirname, '../..')

export interface Running {
  readonly url: string
  readonly stateDir: string
  readonly pid: number
}

export const demoDir = (): string => process.env['STRATA_DEMO_DIR'] ?? join(tmpdir(), `strata-demo-${process.getuid?.() ?? 0}`)

export async function startDemoService(stateDir: string): Promise<Running> {
  await endDemo(stateDir)
  await rm(stateDir, { recursive: true, force: true })
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const log = openSync(join(stateDir, 'service.log'), 'a', 0o600)
  const listen = (await isFree(8780)) ? '127.0.0.1:8780' : '127.0.0.1:0'
  const child = spawn(process.execPath, [join(ROOT, 'dist/src/main.js'), '--state-dir', stateDir, '--listen', listen], {
    detached: true,
    stdio: ['ignore', log, log],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], LANG: 'C.UTF-8' },
  })
  child.unref()
  await writeFile(join(stateDir, 'service.pid'), `${child.pid}\n`, { mode: 0o600 })
  for (const deadline = Date.now() + 60_000; ; await sleep(20)) {
    if (existsSync(join(stateDir, 'url'))) break
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`the service did not start:\n${await readFile(join(stateDir, 'service.log'), 'utf8')}`)
  }
  return { url: (await readFile(join(stateDir, 'url'), 'utf8')).trim(), stateDir, pid: child.pid ?? 0 }
}

/** The service first, so that nothing new is started; then what it leaves running by design. */
export async function endDemo(stateDir: string): Promise<void> {
  await end(join(stateDir, 'service.pid'), stateDir, 'SIGTERM')
  for (const folder of ['guests', 'keeper'])
    for (const name of await readdir(join(stateDir, folder)).catch(() => [] as string[]))
      if (name.endsWith('.pid')) await end(join(stateDir, folder, name), stateDir, 'SIGTERM')
}

/** Only a process whose command line names our state directory is ours. */
async function end(pidFile: string, stateDir: string, signal: NodeJS.Signals): Promise<void> {
  const pid = Number.parseInt(await readFile(pidFile, 'utf8').catch(() => ''), 10)
  const isOurs = async (): Promise<boolean> => (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(stateDir)
  if (!(pid > 1) || !(await isOurs())) return
  process.kill(pid, signal)
  for (let waited = 0; await isOurs(); waited += 50) {
    if (waited === 15_000) process.kill(pid, 'SIGKILL')
    await sleep(50)
  }
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
