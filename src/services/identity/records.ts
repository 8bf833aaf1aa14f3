/** What the directory's functions share: finding or 404, changing what is named, unique names, the administrator's right. */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import { ANY, type Query, type Records } from '../../ports/stores.js'
import { DEFAULT_DOMAIN } from './names.js'

export interface AssignmentIds {
  readonly projectId: string
  readonly userId: string
  readonly roleId: string
}

export const must = async <T extends { id: string }>(records: Records<T>, word: string, id: string): Promise<T> => {
  const record = await records.find(ANY, id)
  if (!record) throw new DomainError('notFound', `Could not find ${word}: ${id}.`)
  return record
}
export const changed = async <T extends { id: string }>(
  records: Records<T>,
  word: string,
  id: string,
  patch: Partial<Omit<T, 'id' | 'seq'>>,
) => {
  await must(records, word, id)
  if (Object.keys(patch).length > 0) await records.update(id, patch)
  return must(records, word, id)
}

export function admin(caller: Caller, rule: string): void {
  if (!caller.isAdmin) throw new DomainError('forbidden', `You are not authorized to perform the requested action: ${rule}.`)
}

export async function unique<T extends { id: string; name: string }>(
  records: Records<T>,
  word: string,
  name: string,
  except?: string,
): Promise<void> {
  const where = { name: { is: name } } as Query<T>['where'] & object
  const taken = (await records.list(ANY, { where })).some((record) => record.id !== except)
  if (taken) {
    const domain = word === 'role' ? 'with name' : `in domain ${DEFAULT_DOMAIN.id} with name`
    throw new DomainError(
      'busy',
      `Conflict occurred attempting to store ${word} - it is not permitted to have two ${word}s ${domain}: ${name}.`,
    )
  }
}

export function nameOf(text: string): string {
  if (text.trim() === '' || text.length > 255)
    throw new DomainError('invalid', "Invalid input for field 'name': a name has 1 to 255 characters.")
  return text
}

export function filterOf<F extends object>(filter: F): { [K in keyof F]?: { is: string | number | boolean } } {
  return Object.fromEntries(Object.entries(defined(filter)).map(([key, value]) => [key, { is: value }])) as never
}

export function defined<T extends object>(record: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as never
}

export const noAssignment = (ids: AssignmentIds): DomainError =>
  new DomainError(
    'notFound',
    `Could not find role assignment with role: ${ids.roleId}, user or group: ${ids.userId}, project, domain, or system: ${ids.projectId}.`,
  )
