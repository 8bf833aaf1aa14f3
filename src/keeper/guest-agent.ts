/**
 * GuestAgent for workers: every call goes to the keeper, which is started when there is none. Freezes belong to this
 * one connection; when it closes, or this process dies, the keeper thaws them.
 */
import { join } from 'node:path'
import { AdapterError, refused } from '../domain/errors.js'
import { millisToMicros } from '../domain/time.js'
import type { GuestAgent } from '../ports/agent.js'
import { connectToKeeper, type KeeperConnection } from './connection.js'
import type { Target } from './protocol.js'

export interface GuestAgentOptions {
  readonly stateDir: string
  /** The server's run directory, which holds `ga.sock`. */
  runPathOf(serverId: string): string
  readonly keeperCommand: readonly string[]
}

/** Beyond what the keeper itself allows the guest. */
const MARGIN_MS = 10_000
const THAW_MS = 15_000
const SHUTDOWN_MS = 10_000

export function createGuestAgent({ stateDir, runPathOf, keeperCommand }: GuestAgentOptions): GuestAgent {
  let current: Promise<KeeperConnection> | undefined
  let ended = false
  const frozen = new Set<string>()
  const target = (server: string): Target => ({ server, socketPath: join(runPathOf(server), 'ga.sock') })

  async function keeper(): Promise<KeeperConnection> {
    const before = current
    if (before !== undefined) {
      const connection = await before.catch(() => undefined)
      if (connection?.open === true) return connection
      // Somebody else may have begun a new connection while we waited.
      if (current === before) current = undefined
    }
    current ??= connectToKeeper(stateDir, keeperCommand).then(watch)
    return await current
  }

  /** A keeper that dies while a guest is frozen leaves a ledger; the next one must not wait for the next request. */
  function watch(connection: KeeperConnection): KeeperConnection {
    void connection.closed.then(() => {
      if (!ended && frozen.size > 0) keeper().catch(() => undefined)
    })
    return connection
  }

  /** For requests that may be repeated: a keeper that vanished is replaced once. */
  async function again<T>(ask: (connection: KeeperConnection) => Promise<T>): Promise<T> {
    try {
      return await ask(await keeper())
    } catch (error) {
      if (!(error instanceof AdapterError) || error.outcome !== 'unknown') throw error
      return await ask(await keeper())
    }
  }

  return {
    async present(serverId, timeoutMs) {
      const command = { command: 'present', ...target(serverId), timeoutMs } as const
      return (await again((connection) => connection.request(command, timeoutMs + MARGIN_MS))).present
    },
    async freeze(serverId, holder, budgetMs) {
      const connection = await keeper()
      frozen.add(serverId)
      try {
        const command = { command: 'freeze', ...target(serverId), holder, budgetMs } as const
        return (await connection.request(command, budgetMs + MARGIN_MS)).frozen
      } catch (error) {
        frozen.delete(serverId)
        if (!(error instanceof AdapterError) || error.outcome !== 'unknown') throw error
        // The keeper was lost with the answer. The next one thaws what its ledger says: see that it runs.
        await keeper()
        throw refused('the freeze keeper was lost while freezing; the guest is being thawed', { cause: error })
      }
    },
    async thaw(serverId, holder) {
      const command = { command: 'thaw', ...target(serverId), holder } as const
      const { thawed, heldMs, expired } = await again((connection) => connection.request(command, THAW_MS))
      frozen.delete(serverId)
      return { thawed, held: millisToMicros(heldMs), expired }
    },
    async shutdown(serverId, mode) {
      const command = { command: 'shutdown', ...target(serverId), mode } as const
      return (await again((connection) => connection.request(command, SHUTDOWN_MS))).taken
    },
    async close() {
      ended = true
      const connection = await current?.catch(() => undefined)
      connection?.close()
      current = undefined
    },
  }
}
