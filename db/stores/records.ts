/**
 * One implementation of `Records` and `Guarded` for every table. A look-up's scope is always part of its SQL; a status
 * changes only by compare-and-set. A patch of a row that is not there changes nothing and says nothing, as removing
 * nothing succeeds: recovery repeats such calls.
 */
import { DomainError } from '../../src/domain/errors.js'
import { ANY, Duplicate, type Guarded, type Query, type Records, type Scope } from '../../src/ports/stores.js'
import { marks, type Session, type Value } from '../session.js'
import { type Table, toValue } from './table.js'
import { after, all, type Clause, conditions, listIndex, order, orderBy } from './where.js'

/** SQL wants a limit before an offset. */
const UNLIMITED = 2 ** 53 - 1

export function createRecords<T extends { id: string }>(session: Session, table: Table<T>): Records<T> {
  return {
    insert: async (record) => await insertRow(session, table, record),
    find: async (scope, id) => await findRow(session, table, [table.scope(scope)], id),
    list: async (scope, query = {}) => await listRows(session, table, [table.scope(scope)], query, [], scope),
    async count(scope, where) {
      const { text, bindings } = all([table.scope(scope), ...conditions(table, where)])
      const [row] = await session.rows(`SELECT COUNT(*) AS n FROM \`${table.name}\` WHERE ${text}`, bindings)
      return Number(row?.['n'] ?? 0)
    },
    async update(id, patch) {
      await patchRow(session, table, patch, [{ text: '`id` = ?', bindings: [id] }])
    },
    async remove(id) {
      await session.run(`DELETE FROM \`${table.name}\` WHERE \`id\` = ?`, [id])
    },
  }
}

export function createGuarded<T extends { id: string }, S extends string>(
  session: Session,
  table: Table<T>,
  statusField: keyof T & string,
): Guarded<T, S> {
  return {
    ...createRecords(session, table),
    async transition(id, from, patch) {
      if (from.length === 0) return false
      const expected = { text: `${table.column(statusField)} IN (${marks(from.length)})`, bindings: [...from] }
      return (await patchRow(session, table, patch, [{ text: '`id` = ?', bindings: [id] }, expected])) > 0
    },
  }
}

export async function insertRow<T>(session: Session, table: Table<T>, record: object): Promise<void> {
  const fields: Readonly<Record<string, unknown>> = { ...record }
  const given = table.fields.filter((f) => f.name !== 'seq' && fields[f.name] !== undefined)
  const values = given.map((f) => toValue(f.kind, fields[f.name]))
  try {
    await session.run(`INSERT INTO \`${table.name}\` (${given.map((f) => f.column).join(', ')}) VALUES (${marks(given.length)})`, values)
  } catch (error) {
    if (session.dialect.meaning(error) === 'duplicate') throw new Duplicate(table.name, { cause: error })
    throw error
  }
}

export async function findRow<T>(session: Session, table: Table<T>, scope: readonly Clause[], id: string): Promise<T | undefined> {
  const { text, bindings } = all([{ text: '`id` = ?', bindings: [id] }, ...scope])
  const [row] = await session.rows(`SELECT ${table.columns} FROM \`${table.name}\` WHERE ${text}`, bindings)
  return row === undefined ? undefined : table.fromRow(row)
}

/** `more` are conditions a marker need not meet. */
export async function listRows<T>(
  session: Session,
  table: Table<T>,
  scope: readonly Clause[],
  query: Query<T>,
  more: readonly Clause[] = [],
  tenant: Scope = ANY,
): Promise<T[]> {
  const keys = order(table, query.sort)
  const index = listIndex(table, tenant, query.where, keys)
  const from = `\`${table.name}\`${index === undefined ? '' : session.dialect.byIndex(table.name, index)}`
  const clauses = [...scope, ...conditions(table, query.where), ...more]
  if (query.after !== undefined) {
    const marker = all([{ text: '`id` = ?', bindings: [query.after] }, ...scope])
    const columns = keys.map((k) => k.field.column).join(', ')
    const [row] = await session.rows(`SELECT ${columns} FROM \`${table.name}\` WHERE ${marker.text}`, marker.bindings)
    if (row === undefined) throw new DomainError('notFound', `The marker ${JSON.stringify(query.after)} could not be found.`)
    clauses.push(after(keys, row))
  }
  if (query.limit === 0) return []
  const { text, bindings } = all(clauses)
  const paged = query.limit !== undefined || query.offset !== undefined
  const rows = await session.rows(
    `SELECT ${table.columns} FROM ${from} WHERE ${text} ORDER BY ${orderBy(keys)}${paged ? ' LIMIT ? OFFSET ?' : ''}`,
    paged ? [...bindings, query.limit ?? UNLIMITED, query.offset ?? 0] : bindings,
  )
  return rows.map((row) => table.fromRow(row))
}

/** Returns how many rows matched, changed or not. */
export async function patchRow<T>(session: Session, table: Table<T>, patch: object, where: readonly Clause[]): Promise<number> {
  const changes = Object.entries(patch).filter(([, value]) => value !== undefined)
  if (changes.some(([name]) => name === 'id' || name === 'seq')) throw new TypeError('an id or a sequence number never changes')
  const fields = changes.map(([name]) => table.field(name))
  const values: Value[] = changes.map(([, value], index) => toValue(fields[index]?.kind ?? 'text', value))
  const { text, bindings } = all(where)
  if (fields.length === 0) {
    const rows = await session.rows(`SELECT 1 AS one FROM \`${table.name}\` WHERE ${text}`, bindings)
    return rows.length
  }
  const assignments = fields.map((f) => `${f.column} = ?`).join(', ')
  try {
    return await session.run(`UPDATE \`${table.name}\` SET ${assignments} WHERE ${text}`, [...values, ...bindings])
  } catch (error) {
    if (session.dialect.meaning(error) === 'duplicate') throw new Duplicate(table.name, { cause: error })
    throw error
  }
}
