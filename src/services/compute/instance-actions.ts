/** What was asked of a server, by whom, and how it ended. Readable after the server is gone. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { InstanceAction } from '../../domain/ledger.js'
import { type ComputeDeps, scopeOf, serverNotFound } from './servers-common.js'

export type InstanceActionService = ReturnType<typeof createInstanceActionService>

export function createInstanceActionService({ db }: Pick<ComputeDeps, 'db'>) {
  /** `deletedToo`: the caller's API version shows the actions of a server that is gone (2.21). */
  const requireTrace = async (caller: Caller, serverId: string, deletedToo: boolean): Promise<void> => {
    const server = await db.read.servers.find(scopeOf(caller), serverId)
    if (server !== undefined && server.vmState !== 'deleted') return
    if (!deletedToo) throw serverNotFound(serverId)
    if (server === undefined && (await db.read.instanceActions.count(scopeOf(caller), { serverId: { is: serverId } })) === 0)
      throw serverNotFound(serverId)
  }

  return {
    async list(
      caller: Caller,
      serverId: string,
      options: { deletedToo: boolean; limit?: number; marker?: string; changesSince?: number },
    ): Promise<InstanceAction[]> {
      await requireTrace(caller, serverId, options.deletedToo)
      const after = options.marker === undefined ? undefined : await this.idOf(caller, serverId, options.marker)
      return db.read.instanceActions.list(scopeOf(caller), {
        where: {
          serverId: { is: serverId },
          ...(options.changesSince === undefined ? {} : { updatedAt: { atLeast: options.changesSince } }),
        },
        ...(options.limit === undefined ? {} : { limit: options.limit }),
        ...(after === undefined ? {} : { after }),
      })
    },

    async show(caller: Caller, serverId: string, requestId: string, options: { deletedToo: boolean }): Promise<InstanceAction> {
      await requireTrace(caller, serverId, options.deletedToo)
      const action = await byRequest(caller, serverId, requestId)
      if (action === undefined) throw new DomainError('notFound', `Action ${requestId} not found`)
      return action
    },

    async idOf(caller: Caller, serverId: string, requestId: string): Promise<string> {
      const action = await byRequest(caller, serverId, requestId)
      if (action === undefined) throw new DomainError('invalid', `marker [${requestId}] not found`)
      return action.id
    },
  }

  async function byRequest(caller: Caller, serverId: string, requestId: string): Promise<InstanceAction | undefined> {
    const where = { serverId: { is: serverId }, requestId: { is: requestId } }
    const [action] = await db.read.instanceActions.list(scopeOf(caller), { where, limit: 1 })
    return action
  }
}
