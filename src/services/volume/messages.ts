/** What failed after the 202, in words for the user; written by the worker in the transaction of the failure. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Message } from '../../domain/ledger.js'
import type { Query } from '../../ports/stores.js'
import { allowMember, scopeOf, type VolumeDeps } from './access.js'

export const createVolumeMessageService = ({ db }: Pick<VolumeDeps, 'db'>) => ({
  listMessages: async (caller: Caller, query: Query<Message>): Promise<Message[]> => {
    const scope = { projectId: caller.projectId }
    if (query.after !== undefined && (await db.read.messages.find(scope, query.after)) === undefined) throw notFound(query.after)
    return query.limit === 0 ? [] : db.read.messages.list(scope, query)
  },

  showMessage: async (caller: Caller, id: string): Promise<Message> => {
    const message = await db.read.messages.find(scopeOf(caller), id)
    if (message === undefined) throw notFound(id)
    return message
  },

  deleteMessage: (caller: Caller, id: string): Promise<void> =>
    db.transaction(async (stores) => {
      if ((await stores.messages.find(scopeOf(caller), id)) === undefined) throw notFound(id)
      allowMember(caller, 'message:delete')
      await stores.messages.remove(id)
    }),
})

export type VolumeMessageService = ReturnType<typeof createVolumeMessageService>

const notFound = (id: string): DomainError => new DomainError('notFound', `Message ${id} could not be found.`)
