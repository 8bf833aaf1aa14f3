/** Key pairs belong to a user, in whatever project that user works. Admins may name another user (2.10). */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Keypair } from '../../domain/server.js'
import { ANY, Duplicate, type Stores } from '../../ports/stores.js'
import { fingerprintOf, generateSshKey } from './key-material.js'
import { type ComputeDeps, requireAdmin, requireWriter } from './servers-common.js'

export const MAX_KEYPAIRS = 100

export interface NewKeypair {
  readonly name: string
  readonly type: 'ssh' | 'x509'
  /** undefined: a pair is made, and its private half told this once. */
  readonly publicKey: string | undefined
  /** undefined: the caller. */
  readonly userId: string | undefined
}

export type KeypairService = ReturnType<typeof createKeypairService>

export function createKeypairService({ db, clock }: Pick<ComputeDeps, 'db' | 'clock'>) {
  const ownerOf = (caller: Caller, userId: string | undefined, rule: string): string => {
    if (userId !== undefined && userId !== caller.userId) requireAdmin(caller, `os-keypairs:${rule}`)
    return userId ?? caller.userId
  }
  return {
    async list(caller: Caller, asked: { userId?: string; limit?: number; marker?: string }): Promise<Keypair[]> {
      const owner = ownerOf(caller, asked.userId, 'index')
      const after = asked.marker === undefined ? undefined : await findKeypair(db.read, owner, asked.marker)
      if (asked.marker !== undefined && after === undefined) throw new DomainError('invalid', `Marker ${asked.marker} could not be found.`)
      if (asked.limit === 0) return []
      return db.read.keypairs.list(ANY, {
        where: { userId: { is: owner } },
        sort: [{ key: 'name', dir: 'asc' }],
        ...(asked.limit === undefined ? {} : { limit: asked.limit }),
        ...(after === undefined ? {} : { after: after.id }),
      })
    },

    async show(caller: Caller, name: string, userId: string | undefined): Promise<Keypair> {
      const owner = ownerOf(caller, userId, 'show')
      const found = await findKeypair(db.read, owner, name)
      if (found === undefined) throw notFound(owner, name)
      return found
    },

    async create<R>(caller: Caller, wanted: NewKeypair, reply: (pair: Keypair, privateKey: string | undefined) => R): Promise<R> {
      requireWriter(caller, 'os-keypairs:create')
      const userId = ownerOf(caller, wanted.userId, 'create')
      if (!/^[A-Za-z0-9 _-]+$/.test(wanted.name)) throw unfit('Keypair name contains unsafe characters')
      if (wanted.publicKey === undefined && wanted.type === 'x509') throw unfit('certificates are not made here; bring one in public_key')
      const fresh = wanted.publicKey === undefined ? await generateSshKey() : undefined
      const publicKey = wanted.publicKey ?? fresh?.publicKey ?? ''
      const fingerprint = fingerprintOf(wanted.type, publicKey)
      if (fingerprint === undefined) throw unfit('failed to generate fingerprint')
      const pair = { id: randomUUID(), userId, name: wanted.name, type: wanted.type, publicKey, fingerprint, createdAt: clock.now() }
      const taken = new DomainError('busy', `Key pair '${wanted.name}' already exists.`)
      return db.transaction(async (stores) => {
        if ((await findKeypair(stores, userId, wanted.name)) !== undefined) throw taken
        if ((await stores.keypairs.count(ANY, { userId: { is: userId } })) >= MAX_KEYPAIRS)
          throw new DomainError('overQuota', 'Maximum number of key pairs exceeded')
        try {
          await stores.keypairs.insert(pair)
        } catch (error) {
          throw error instanceof Duplicate ? taken : error
        }
        return reply({ ...pair, seq: 0 }, fresh?.privateKey)
      })
    },

    async remove(caller: Caller, name: string, userId: string | undefined): Promise<void> {
      requireWriter(caller, 'os-keypairs:delete')
      const owner = ownerOf(caller, userId, 'delete')
      await db.transaction(async (stores) => {
        const found = await findKeypair(stores, owner, name)
        if (found === undefined) throw notFound(owner, name)
        await stores.keypairs.remove(found.id)
      })
    },
  }
}

export async function findKeypair(stores: Stores, userId: string, name: string): Promise<Keypair | undefined> {
  return (await stores.keypairs.list(ANY, { where: { userId: { is: userId }, name: { is: name } }, limit: 1 }))[0]
}

const notFound = (userId: string, name: string) => new DomainError('notFound', `Keypair ${name} not found for user ${userId}`)
const unfit = (reason: string) => new DomainError('invalid', `Keypair data is invalid: ${reason}`)
