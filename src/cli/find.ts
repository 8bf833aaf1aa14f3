/** Things by name or id, as people type them: exactly one, or a sentence that says why not. */
import { Failure, ServiceError } from './errors.js'
import type { Json, ServiceType, Session } from './session.js'

export interface Named {
  readonly id: string
  readonly name: string | null
}

export const isUuid = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)

export async function findServer(session: Session, nameOrId: string): Promise<Named> {
  // Nova's filter is a pattern.
  const pattern = `^${nameOrId.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`
  return await find(session, { service: 'compute', kind: 'server', path: '/servers', filter: pattern }, nameOrId)
}

export const findVolume = async (session: Session, nameOrId: string): Promise<Named> =>
  await find(session, { service: 'volumev3', kind: 'volume', path: '/volumes', filter: nameOrId }, nameOrId)

async function find(
  session: Session,
  of: { service: ServiceType; kind: string; path: string; filter: string },
  nameOrId: string,
): Promise<Named> {
  if (isUuid(nameOrId)) {
    try {
      return (await session.call<Record<string, Named>>(of.service, 'GET', `${of.path}/${nameOrId}`))[of.kind] as Named
    } catch (error) {
      if (!(error instanceof ServiceError && error.status === 404)) throw error
    }
  }
  const answer = await session.call<Json>(of.service, 'GET', `${of.path}?name=${encodeURIComponent(of.filter)}`)
  return onlyOne(of.kind, answer[`${of.kind}s`] as Named[], nameOrId)
}

export function onlyOne<T extends Named>(kind: string, all: readonly T[], nameOrId: string): T {
  const byId = all.find(({ id }) => id === nameOrId)
  const found = byId === undefined ? all.filter(({ name }) => name === nameOrId) : [byId]
  const [one] = found
  if (one === undefined) throw new Failure(`no ${kind} has the name or id ${nameOrId}`)
  if (found.length > 1)
    throw new Failure(`${found.length} ${kind}s are called ${nameOrId}; name one by its id: ${found.map(({ id }) => id).join(', ')}`)
  return one
}
