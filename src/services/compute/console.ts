/** The serial log of a guest, readable while it runs and after it stopped. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Hypervisor } from '../../ports/hypervisor.js'
import { type ComputeDeps, requireServer, requireWriter } from './servers-common.js'

/** The part of the hypervisor the API may use: reading a log file. */
export type ConsolePort = Pick<Hypervisor, 'console'>

export type ConsoleService = ReturnType<typeof createConsoleService>

export function createConsoleService({ db, console }: Pick<ComputeDeps, 'db'> & { console: ConsolePort }) {
  return {
    /** The last `lines` lines (all: undefined), without a newline at the end. */
    async read(caller: Caller, serverId: string, lines: number | undefined): Promise<string> {
      const server = await requireServer(db.read, caller, serverId)
      requireWriter(caller, 'os-console-output')
      if (server.vmState === 'building') throw new DomainError('invalidState', `Instance ${serverId} is not ready`)
      if (lines === 0) return ''
      const text = (await console.console(serverId, lines)).replace(/\r?\n$/, '')
      return lines === undefined ? text : text.split('\n').slice(-lines).join('\n')
    },
  }
}
