/** Tags of a server: short words without value. Like Nova, they can be changed in any state but of a deleted server. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import { type ComputeDeps, holdServer, recordEvent, requireServer, requireState, requireWriter } from './servers-common.js'

const MAX_TAGS = 50
const MAX_LENGTH = 60

export type ServerTagService = ReturnType<typeof createServerTagService>

export function createServerTagService({ db, clock }: Pick<ComputeDeps, 'db' | 'clock'>) {
  const change = async <R>(
    caller: Caller,
    id: string,
    policy: string,
    work: (old: readonly string[]) => readonly string[],
    reply: (tags: readonly string[], old: readonly string[]) => R,
  ): Promise<R> =>
    db.transaction(async (stores) => {
      const server = await holdServer({ clock }, stores, caller, id)
      requireWriter(caller, `os-server-tags:${policy}`)
      await requireState(stores, server, 'update_tags', { vmState: ['active', 'paused', 'suspended', 'stopped'], taskState: 'any' })
      const tags = work(server.tags)
      if (tags.length > MAX_TAGS) throw new DomainError('invalid', `The number of tags exceeded the per-server limit ${MAX_TAGS}`)
      await stores.servers.update(id, { tags, updatedAt: clock.now() })
      await recordEvent(stores, caller, server, 'server.tags', clock.now())
      return reply(tags, server.tags)
    })

  const noTag = (id: string, tag: string) => new DomainError('notFound', `Server ${id} has no tag '${tag}'`)

  return {
    async has(caller: Caller, id: string, tag: string): Promise<void> {
      const { tags } = await requireServer(db.read, caller, id)
      if (!tags.includes(tag)) throw noTag(id, tag)
    },

    replace: <R>(caller: Caller, id: string, tags: readonly string[], reply: (tags: readonly string[]) => R) =>
      change(caller, id, 'update_all', () => [...new Set(tags)], reply),

    removeAll: <R>(caller: Caller, id: string, reply: () => R) => change(caller, id, 'delete_all', () => [], reply),

    /** `added`: it was not there before. */
    add<R>(caller: Caller, id: string, tag: string, reply: (added: boolean) => R): Promise<R> {
      if (tag.length > MAX_LENGTH || tag.includes(','))
        throw new DomainError('invalid', `Invalid tag: a tag has at most ${MAX_LENGTH} characters, and no ',' or '/'.`)
      return change(
        caller,
        id,
        'update',
        (old) => (old.includes(tag) ? old : [...old, tag]),
        (_, old) => reply(!old.includes(tag)),
      )
    },

    remove: <R>(caller: Caller, id: string, tag: string, reply: () => R) =>
      change(
        caller,
        id,
        'delete',
        (old) => {
          if (!old.includes(tag)) throw noTag(id, tag)
          return old.filter((one) => one !== tag)
        },
        reply,
      ),
  }
}
