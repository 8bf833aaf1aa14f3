import type { Keypair } from '../../../src/domain/server.js'
import type { Handler, Version } from '../../contract.js'
import { naive, nextLink } from '../../views/compute/links.js'
import { limitOf } from './wire.js'

const briefView = ({ name, publicKey, fingerprint, type }: Keypair, version: Version) => ({
  name,
  public_key: publicKey,
  fingerprint,
  ...(version.atLeast(2) ? { type } : {}),
})

/** From 2.10 an admin may ask for another user's. */
const userOf = (version: Version, userId: string | undefined): string | undefined => (version.atLeast(10) ? userId : undefined)

export const listKeypairs: Handler<'listKeypairs'> = async ({ query, here, caller, version, services, reply }) => {
  const userId = userOf(version, query.user_id)
  const limit = version.atLeast(35) ? limitOf(query.limit) : undefined
  const pairs = await services.compute.keypairs.list(caller, {
    ...(userId === undefined ? {} : { userId }),
    ...(limit === undefined ? {} : { limit }),
    ...(version.atLeast(35) && query.marker ? { marker: query.marker } : {}),
  })
  const named = pairs.map(({ name }) => ({ id: name }))
  const links = limit === undefined ? undefined : nextLink(here, named, limit)
  return reply(200, {
    keypairs: pairs.map((pair) => ({ keypair: briefView(pair, version) })),
    ...(links === undefined ? {} : { keypairs_links: links }),
  })
}

export const createKeypair: Handler<'createKeypair'> = async ({ body, caller, version, services, reply }) => {
  const { name, type, public_key, user_id } = body.keypair
  const wanted = { name, type: type ?? 'ssh', publicKey: public_key, userId: userOf(version, user_id) } as const
  return services.compute.keypairs.create(caller, wanted, (pair, privateKey) => {
    const keypair = { ...briefView(pair, version), user_id: pair.userId, ...(privateKey === undefined ? {} : { private_key: privateKey }) }
    return version.atLeast(2) ? reply(201, { keypair }) : reply(200, { keypair })
  })
}

export const showKeypair: Handler<'showKeypair'> = async ({ path, query, caller, version, services, reply }) => {
  const pair = await services.compute.keypairs.show(caller, path.keypair_name, userOf(version, query.user_id))
  const life = { created_at: naive(pair.createdAt), deleted: false, deleted_at: null, updated_at: null }
  return reply(200, { keypair: { ...briefView(pair, version), ...life, id: pair.seq, user_id: pair.userId } })
}

export const deleteKeypair: Handler<'deleteKeypair'> = async ({ path, query, caller, version, services, reply }) => {
  await services.compute.keypairs.remove(caller, path.keypair_name, userOf(version, query.user_id))
  return version.atLeast(2) ? reply(204) : reply(202)
}
