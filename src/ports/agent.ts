/**
 * The guest agent, through the freeze keeper: a small process per host that owns all agent sockets and thaws
 * when the budget is spent, the caller is gone, or a reply was lost. It outlives workers.
 */
import type { Micros } from '../domain/time.js'

export interface Thaw {
  /** File systems thawed; 0 when they were thawed already (by the guest itself, or by the keeper's budget). */
  readonly thawed: number
  /** How long the freeze was held, monotonic. */
  readonly held: Micros
  /** The keeper thawed before we asked: budget spent, or connection lost. */
  readonly expired: boolean
}

export interface GuestAgent {
  /** Does an agent answer within `timeoutMs`? */
  present(serverId: string, timeoutMs: number): Promise<boolean>
  /** Freezes all file systems; returns how many. 0, silence or an error: Refused, and the guest is (being) thawed. */
  freeze(serverId: string, holder: string, budgetMs: number): Promise<number>
  /** Thaws what `holder` froze. Of nothing, or after a crash in between: thaws all the same, `expired`. Guest gone: thawed 0. */
  thaw(serverId: string, holder: string): Promise<Thaw>
  /** Asks the guest's agent to shut down or restart its system; false if no agent took it. */
  shutdown(serverId: string, mode: 'powerdown' | 'reboot'): Promise<boolean>
  close(): Promise<void>
}
