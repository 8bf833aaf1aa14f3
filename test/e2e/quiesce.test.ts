/**
 * Snapshots that must be quiesced (os_require_quiesce) of a real guest whose agent hangs, lies or thaws by itself, and with
 * the service stopped or killed while the guest is frozen. Whatever happens: the guest writes again within the budget, the
 * snapshot says what is true, and nothing is left over.
 */
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { shortId } from '../../src/domain/names.js'
import { type AgentRelay, honest, startAgentRelay, type Tamper } from '../support/agent-relay.js'
import { createCloud, type Seen } from '../support/cloud.js'
import { readGuestDisk } from '../support/guest-disk.js'
import { personsMonitor } from '../support/people.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const TIMEOUT = 180_000
const BUDGET_MS = 3000
/** For the emulated guest on a busy machine to get its next record done. */
const SLACK_MS = 8000
const settings = { STRATA_FREEZE_BUDGET_MS: String(BUDGET_MS), STRATA_LEASE_MS: '3000', STRATA_POLL_INTERVAL_MS: '100' }

let service: Service
const cloud = createCloud(() => service)
let relay: AgentRelay
let serverId: string
let volumeId: string
let disk: string
/** Files in the pool when nothing is left over. */
let files: number

beforeAll(async () => {
  service = await startService({ env: settings })
  serverId = await cloud.boot(await cloud.guestImage({ hw_qemu_guest_agent: 'yes', os_require_quiesce: 'yes' }))
  volumeId = await cloud.createVolume()
  disk = (await cloud.attach(serverId, volumeId)).disk
  files = cloud.layerFiles().length
  relay = await startAgentRelay(join(service.stateDir, 'run', shortId(serverId)))
}, TIMEOUT)
afterAll(async () => {
  await relay?.close()
  await service?.stop()
}, TIMEOUT)
afterEach(async () => {
  relay.tamper = honest
  // An honest agent again: what was left frozen would be seen here.
  const id = await cloud.requestSnapshot(volumeId)
  await cloud.snapshotBecomes(id, 'available')
  expect((await cloud.report(id)).consistency?.reached).toBe('filesystem')
  await cloud.deleteSnapshot(id)
  await leavesNothing()
}, TIMEOUT)

/** Tells when the guest was frozen, and how long it then took until it wrote again. */
function watch(then: Tamper): { tamper: Tamper; paused(): Promise<number> } {
  let frozenAt = 0
  let last = 0
  return {
    async tamper(command, answer, ask) {
      if (command === 'guest-fsfreeze-freeze' && frozenAt === 0) {
        frozenAt = performance.now()
        last = cloud.lastAck(serverId, disk)
      }
      return await then(command, answer, ask)
    },
    async paused() {
      await until(() => frozenAt > 0 && cloud.lastAck(serverId, disk) > last + 1, { what: 'the guest to write on', timeoutMs: 60_000 })
      return performance.now() - frozenAt
    },
  }
}

/** Asks for a snapshot and waits for its end, whatever that is. */
async function taken(): Promise<Seen> {
  const id = await cloud.requestSnapshot(volumeId)
  return await until(async () => await cloud.snapshot(id).then((seen) => seen.status !== 'creating' && seen), {
    what: 'the end of the snapshot',
    timeoutMs: 60_000,
  })
}

async function leavesNothing(): Promise<void> {
  expect(await cloud.settled()).toEqual([])
  expect(await cloud.audit(serverId)).toMatchObject({ settled: true, findings: [] })
  expect(cloud.layerFiles()).toHaveLength(files)
}

async function failsClean(then: Tamper): Promise<void> {
  const watched = watch(then)
  relay.tamper = watched.tamper
  const [snapshot, paused] = await Promise.all([taken(), watched.paused()])
  expect(snapshot.status).toBe('error')
  expect(paused).toBeLessThan(BUDGET_MS + SLACK_MS)
  const { messages } = await cloud.call<{ messages: { resource_uuid: string }[] }>('GET', '/volume/v3/messages', undefined, {
    'openstack-api-version': 'volume 3.3',
  })
  expect(messages.map((message) => message.resource_uuid)).toContain(snapshot.id)
  relay.tamper = honest
  await cloud.deleteSnapshot(snapshot.id)
  await leavesNothing()
}

describe('a snapshot that must be quiesced', () => {
  it(
    'fails without a trace while the guest hangs, and the guest goes on when it wakes',
    async () => {
      const monitor = await personsMonitor(join(service.stateDir, 'run', shortId(serverId)))
      await monitor.execute('stop')
      const snapshot = await taken()
      await monitor.execute('cont')
      monitor.close()
      expect(snapshot.status).toBe('error')
      await cloud.writesOn(serverId, disk, 5)
      await cloud.deleteSnapshot(snapshot.id)
      await leavesNothing()
    },
    TIMEOUT,
  )

  it(
    'fails when the agent froze the guest and never said so',
    async () => await failsClean(async (command, answer) => (command === 'guest-fsfreeze-freeze' ? undefined : answer)),
    TIMEOUT,
  )

  it(
    'fails when fewer file systems were thawed than frozen',
    async () => await failsClean(async (command, answer) => (command === 'guest-fsfreeze-thaw' ? { return: 0 } : answer)),
    TIMEOUT,
  )

  it(
    'fails when the guest thaws itself before its disk was switched',
    async () =>
      await failsClean(async (command, answer, ask) => {
        if (command === 'guest-fsfreeze-freeze') ask('guest-fsfreeze-thaw')
        return answer
      }),
    TIMEOUT,
  )

  it.each(['SIGSTOP', 'SIGKILL'] as const)(
    'ends as what it is when the service gets %s between freeze and thaw, and the guest is thawed in time',
    async (signal) => {
      let signalled = false
      const watched = watch(async (command, answer) => {
        if (command === 'guest-fsfreeze-freeze' && !signalled) signalled = service.process.kill(signal)
        return answer
      })
      relay.tamper = watched.tamper
      const before = cloud.lastAck(serverId, disk)
      const id = await cloud.requestSnapshot(volumeId)
      expect(await watched.paused()).toBeLessThan(BUDGET_MS + SLACK_MS)
      expect(signalled).toBe(true)
      if (signal === 'SIGSTOP') service.process.kill('SIGCONT')
      else service = await service.restart()
      const end = await until(async () => await cloud.snapshot(id).then((seen) => seen.status !== 'creating' && seen), {
        what: 'the end of the snapshot',
        timeoutMs: 60_000,
      })
      if (end.status === 'available') {
        expect((await cloud.report(id)).consistency?.reached).toBe('filesystem')
        const contents = await readGuestDisk(await cloud.snapshotChain(id))
        expect(contents).toMatchObject({ clean: true, intact: true })
        expect(contents.last).toBeGreaterThanOrEqual(before)
      } else expect(end.status).toBe('error')
      await cloud.writesOn(serverId, disk, 5)
      await cloud.deleteSnapshot(id)
      await leavesNothing()
    },
    TIMEOUT,
  )

  it(
    'loses nothing that the guest acknowledged through all this',
    async () => {
      await cloud.stopServer(serverId)
      const final = await readGuestDisk(await cloud.diskChain(serverId, volumeId))
      expect(final).toMatchObject({ consistent: true, intact: true })
      expect(final.last).toBeGreaterThanOrEqual(cloud.lastAck(serverId, disk))
      await cloud.act(serverId, { 'os-start': null })
      await cloud.serverBecomes(serverId, 'ACTIVE', ['SHUTOFF'])
      await cloud.writesOn(serverId, disk, 3)
    },
    TIMEOUT,
  )
})
