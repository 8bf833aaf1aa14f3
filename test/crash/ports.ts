/** The ports of one incarnation of a worker: real QEMU, files and daemons, an agent by script, and a clock we move. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openDatabase } from '../../db/connection.js'
import { refused } from '../../src/domain/errors.js'
import { createMemoryFiles } from '../../src/host/memory-seal.js'
import type { GuestAgent } from '../../src/ports/agent.js'
import type { Clock } from '../../src/ports/clock.js'
import type { Database } from '../../src/ports/stores.js'
import { createHypervisor } from '../../src/qemu/hypervisor.js'
import { createImageInspector } from '../../src/qemu/inspector.js'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import { createOfflineHosts } from '../../src/qemu/storage-daemon.js'
import type { WorkerPorts } from '../../src/steps/tools.js'
import { createStorageAuditor } from '../../src/worker/auditor.js'

export interface FakeClock extends Clock {
  advance(seconds: number): void
}

/** Sleeping moves it: nothing waits. */
export function makeClock(): FakeClock {
  let ahead = 0
  const now = (): number => Date.now() * 1000 + ahead
  return {
    now,
    monotonic: now,
    async sleep(millis) {
      ahead += millis * 1000
    },
    advance(seconds) {
      ahead += seconds * 1_000_000
    },
  }
}

/** What the guest agent does in this world. */
export type AgentScript = 'absent' | 'honest' | 'thaws-early'

export interface Incarnation {
  readonly ports: WorkerPorts
  /** As SIGKILL does it: sockets cut, tools gone, nothing said. */
  die(): Promise<void>
}

export async function incarnate(
  world: { dir: string; url: string; hostId: string; clock: FakeClock },
  script: AgentScript,
  { wrapDb = (db) => db, unplugTimeoutMs = 100 }: { wrapDb?: (db: Database) => Database; unplugTimeoutMs?: number } = {},
): Promise<Incarnation> {
  const db = await openDatabase({ url: world.url, now: () => world.clock.now() })
  const hypervisor = createHypervisor({ stateDir: world.dir, accel: async () => 'tcg' })
  const offlineHosts = createOfflineHosts({ stateDir: world.dir })
  const settings = { hostId: world.hostId, freezeBudgetMs: 5000, maxVirtualSize: 2 ** 40, unplugTimeoutMs }
  const agent = scriptedAgent(script)
  const files = createLayerFiles()
  const ports = {
    db: wrapDb(db),
    hypervisor,
    offlineHosts,
    agent,
    files,
    auditor: createStorageAuditor({ db, hypervisor, files }),
    inspector: createImageInspector(),
    memory: createMemoryFiles({ stateDir: world.dir }),
    clock: world.clock,
    settings,
  }
  return {
    ports,
    async die() {
      await hypervisor.close()
      await offlineHosts.close()
      for (const pid of await daemons(world.dir)) await end(pid)
      await db.close()
    },
  }
}

/** Pids of storage daemons below a state directory. */
export async function daemons(dir: string): Promise<number[]> {
  const names = await readdir(join(dir, 'run')).catch(() => [] as string[])
  const texts = await Promise.all(names.filter((n) => n.endsWith('.pid')).map((n) => readFile(join(dir, 'run', n), 'utf8')))
  return texts.map((text) => Number.parseInt(text, 10)).filter((pid) => pid > 1)
}

/** Every process of QEMU's whose command line names the directory: guests, daemons, tools. */
export async function processesOf(dir: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return pids.filter((_, at) => /^(\S*\/)?qemu-/.test(lines[at] ?? '') && lines[at]?.includes(dir)).map(Number)
}

export async function end(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL')
    for (;;) {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
      if (/\) [ZX] /.test(stat)) return
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  } catch {
    // Gone.
  }
}

function scriptedAgent(script: AgentScript): GuestAgent {
  let frozen = false
  return {
    present: async () => script !== 'absent',
    async freeze() {
      if (script === 'absent') throw refused('no agent')
      frozen = true
      return 1
    },
    async thaw() {
      const thawed = frozen && script === 'honest' ? 1 : 0
      const expired = !frozen || script === 'thaws-early'
      frozen = false
      return { thawed, held: 1000, expired }
    },
    shutdown: async () => false,
    close: async () => {},
  }
}
