/**
 * Forward: the server does what it is to do on its new tops. Its old QEMU was ended before this was begun, so whichever runs
 * now was launched here. One that will not start is no reason to try for ever: asked twice, for a QEMU that was killed in
 * its start is told as one that would not, the server stays off, and the job's end says why.
 */
import { AdapterError } from '../domain/errors.js'
import { REASONS, type Reason } from '../domain/reasons.js'
import type { CapturedPower } from '../domain/server-snapshot.js'
import type { RunState } from '../ports/hypervisor.js'
import { endGuest } from './guest.js'
import { guestSpec } from './guest-spec.js'
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
    for (let attempt = 1; ; attempt++) {
      try {
        return await start(tools, serverId, power)
      } catch (error) {
        if (!(error instanceof AdapterError) || error.outcome !== 'refused') throw error
        await endGuest(tools, serverId)
        if (attempt >= ATTEMPTS) return tools.learn({ refused: sentenceOf(error.reason) } satisfies StartFacts)
      }
    }
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

const sentenceOf = (reason: Reason | undefined): string =>
  `The disks were reverted, but the server could not be started on them.${reason === undefined ? '' : ` ${REASONS[reason]}`}`
