/**
 * Guard: the guest's file systems are quiet while the disks are switched. The keeper thaws by itself when the budget
 * is spent or we vanish; what it says when asked to thaw decides what the snapshot may call itself.
 */
import { AdapterError } from '../domain/errors.js'
import type { Quiesce } from '../domain/snapshot.js'
import type { GuardBrick } from './tools.js'

export const FREEZE = 'freeze'

/** What the guard writes to its journal row. */
export interface FreezeFacts {
  readonly frozen?: number
  readonly thawed?: number
  readonly held?: number
  readonly expired?: boolean
  /** Why nothing was frozen. */
  readonly reason?: string
}

export const freezeGuard = (serverId: string, quiesce: Exclude<Quiesce, 'none'>): GuardBrick => ({
  name: FREEZE,
  async enter(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    if (guest === undefined) return
    const paused = (await guest.runState()) !== 'running'
    if (paused && quiesce === 'best_effort') return tools.learn({ reason: 'the server is paused' })
    try {
      tools.learn({ frozen: await tools.agent.freeze(serverId, tools.jobId, tools.settings.freezeBudgetMs) })
    } catch (error) {
      if (quiesce === 'required' || !(error instanceof AdapterError)) throw error
      tools.learn({ reason: 'the guest agent did not freeze the file systems' })
    }
  },
  async leave(_, tools) {
    const { thawed, held, expired } = await tools.agent.thaw(serverId, tools.jobId)
    tools.learn({ thawed, held, expired })
  },
})
