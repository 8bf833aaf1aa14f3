/**
 * Forward: the server does what it is to do on its new tops, started anew or gone on with from its memory. Its old QEMU was ended before this was begun, so whichever runs
 * now was launched here. One that will not start is no reason to try for ever: asked twice, for a QEMU that was killed in
 * its start is told as one that would not, the server stays off, and the job's end says why.
 */
import { AdapterError } from '../domain/errors.js'
import { REASONS, type Reason } from '../domain/reasons.js'
import type { CapturedPower } from '../domain/server-snapshot.js'
import type { RunState } from '../ports/hypervisor.js'
import { endGuest } from './guest.js'
import { guestSpec } from './guest-spec.js'
import { launchFromMemory } from './load-memory.js'
import { memoryOf } from './revert-disks.js'
import type { Observed } from './step.js'
import type { ForwardBrick, Tools } from './tools.js'

export const START = 'start-reverted'
/** What the journal says of a guest that did not come up. */
export type StartFacts = { readonly refused?: string }

/** Launched, and not set going. */
const WAITING: readonly RunState[] = ['prelaunch', 'paused']
const ATTEMPTS = 2

export const startReverted = (serverId: string, power: CapturedPower): ForwardBrick => ({
  kind: 'forward',
  name: START,
  resumes: true,
  async probe(_, tools): Promise<Observed> {
    const isRunning = await tools.hypervisor.isRunning(serverId)
    if (power === 'stopped') return isRunning ? 'partial' : 'done'
    if (!isRunning) return 'absent'
    // One that does not answer was caught in its start.
    const state = await (await tools.hypervisor.find(serverId).catch(() => undefined))?.runState()
    return state !== undefined && WAITING.includes(state) === (power === 'paused') ? 'done' : 'partial'
  },
  async apply(_, tools) {
    if (power === 'stopped') return
    await attempt(tools, serverId, 'the server could not be started on them', () => start(tools, serverId, power))
  },
})

async function start(tools: Tools, serverId: string, power: CapturedPower): Promise<void> {
  const found = await tools.hypervisor.find(serverId).catch(() => undefined)
  if (found === undefined) {
    if (await tools.hypervisor.isRunning(serverId)) await endGuest(tools, serverId)
    const spec = await guestSpec(tools, serverId)
    for (const disk of spec.disks) await tools.files.verify(disk.chain)
    await tools.hypervisor.launch(spec)
  }
  if (power === 'paused') return
  const guest = await tools.hypervisor.find(serverId)
  if (guest !== undefined && WAITING.includes(await guest.runState())) await guest.resume()
}

export const LOAD = 'load-reverted'

/**
 * Forward: a guest that stands where its memory was saved. Nobody can tell by looking whether one that stands was loaded to
 * the end, and none of them has run yet: whatever is there is ended, and it is loaded anew.
 */
export const loadReverted = (serverId: string, serverSnapshotId: string): ForwardBrick => ({
  kind: 'forward',
  name: LOAD,
  probe: async () => 'absent',
  async apply(_, tools) {
    const memoryStateId = await memoryOf(tools.db.read, serverSnapshotId)
    await attempt(tools, serverId, 'the memory could not be loaded, and the server is off', async () => {
      if (await tools.hypervisor.isRunning(serverId)) await endGuest(tools, serverId)
      await launchFromMemory(tools, serverId, memoryStateId)
    })
  },
})

/**
 * Forward: it goes on. One that was lost from here on is not loaded again: whether it ran before nobody knows, and then its
 * disks are others than its memory knows.
 */
export const resumeReverted = (serverId: string, power: CapturedPower): ForwardBrick => ({
  kind: 'forward',
  name: START,
  probe: async () => 'absent',
  async apply(_, tools) {
    // It was refused: there is none.
    const { refused } = await factsOf(tools, LOAD)
    if (refused !== undefined) return tools.learn({ refused } satisfies StartFacts)
    const guest = await tools.hypervisor.find(serverId)
    if (guest === undefined) {
      await tools.hypervisor.kill(serverId)
      return tools.learn({ refused: LOST } satisfies StartFacts)
    }
    const state = await guest.runState()
    if (power === 'running' && state !== 'running' && state !== 'shutdown') await guest.resume()
  },
})

async function attempt(tools: Tools, serverId: string, what: string, act: () => Promise<void>): Promise<void> {
  for (let count = 1; ; count++) {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof AdapterError) || error.outcome !== 'refused') throw error
      await endGuest(tools, serverId)
      if (count >= ATTEMPTS) return tools.learn({ refused: sentenceOf(what, error.reason) } satisfies StartFacts)
    }
  }
}

const LOST = 'The disks were reverted, but the hypervisor process of the server was lost at the moment it was to go on.'

async function factsOf(tools: Tools, step: string): Promise<StartFacts> {
  const rows = await tools.db.read.jobs.steps(tools.jobId)
  return (rows.find((row) => row.name === step)?.facts ?? {}) as StartFacts
}

const sentenceOf = (what: string, reason: Reason | undefined): string =>
  `The disks were reverted, but ${what}.${reason === undefined ? '' : ` ${REASONS[reason]}`}`
