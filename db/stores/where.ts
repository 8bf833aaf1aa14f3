/**
 * Conditions, order and paging as SQL. Equal on both engines: comparison is exact (binary collation), null sorts
 * before everything, a page begins right after its marker by (sort keys, seq), whatever was inserted in between.
 */
import { ANY, type Condition, type Query, type Scope } from '../../src/ports/stores.js'
import { marks, type Row, type Value } from '../session.js'
import { type Field, type Table, toValue } from './table.js'

export interface Clause {
  text: string
  bindings: Value[]
}

export const all = (clauses: readonly Clause[]): Clause => ({
  text: clauses.length === 0 ? '1 = 1' : clauses.map((c) => c.text).join(' AND '),
  bindings: clauses.flatMap((c) => c.bindings),
})

export function conditions<T>(table: Table<T>, where: Query<T>['where']): Clause[] {
  return Object.entries(where ?? {}).flatMap(([name, condition]) =>
    condition === undefined ? [] : [condense(name === 'seq' ? SEQ : table.field(name), condition as Condition)],
  )
}

const SEQ: Field = { name: 'seq', column: '`seq`', kind: 'int', nullable: false }

function condense(field: Field, condition: Condition): Clause {
  const { column, kind } = field
  const value = (v: unknown): Value => toValue(kind, v)
  if ('is' in condition) {
    return condition.is === null ? { text: `${column} IS NULL`, bindings: [] } : { text: `${column} = ?`, bindings: [value(condition.is)] }
  }
  if ('not' in condition) {
    return condition.not === null
      ? { text: `${column} IS NOT NULL`, bindings: [] }
      : { text: `(${column} <> ? OR ${column} IS NULL)`, bindings: [value(condition.not)] }
  }
  if ('in' in condition) {
    return condition.in.length === 0
      ? { text: '1 = 0', bindings: [] }
      : { text: `${column} IN (${marks(condition.in.length)})`, bindings: condition.in.map(value) }
  }
  if ('contains' in condition) return { text: `INSTR(${column}, ?) > 0`, bindings: [condition.contains] }
  if ('pairs' in condition) return pairs(column, condition.pairs)
  const bounds: Clause[] = []
  if (condition.atLeast !== undefined) bounds.push({ text: `${column} >= ?`, bindings: [value(condition.atLeast)] })
  if (condition.atMost !== undefined) bounds.push({ text: `${column} <= ?`, bindings: [value(condition.atMost)] })
  return all(bounds)
}

/**
 * A flat object is stored as JSON.stringify wrote it, so a pair is in it exactly if its own text is, after `{` or `,`:
 * quotes inside keys and values are escaped and cannot look like the pair's. The engines' JSON functions differ in
 * paths, types and collation; this does not.
 */
export function pairs(column: string, wanted: Readonly<Record<string, string>>): Clause {
  return all(
    Object.entries(wanted).map(([key, value]) => {
      const pair = `${JSON.stringify(key)}:${JSON.stringify(value)}`
      return { text: `(INSTR(${column}, ?) > 0 OR INSTR(${column}, ?) > 0)`, bindings: [`{${pair}`, `,${pair}`] }
    }),
  )
}

export interface Order {
  readonly field: Field
  readonly dir: 'asc' | 'desc'
}

/** The asked keys, then `seq` in the direction of the last: a total order. */
export function order<T>(table: Table<T>, sort: Query<T>['sort']): Order[] {
  const keys: Order[] = (sort ?? []).map(({ key, dir }) => ({ field: key === 'seq' ? SEQ : table.field(key), dir }))
  const last = keys.at(-1)
  return last?.field === SEQ ? keys : [...keys, { field: SEQ, dir: last?.dir ?? 'desc' }]
}

export const orderBy = (keys: readonly Order[]): string => keys.map((k) => `${k.field.column} ${k.dir.toUpperCase()}`).join(', ')

/** Everything after the row whose key columns are in `marker`. */
export function after(keys: readonly Order[], marker: Row): Clause {
  const values = keys.map((k) => marker[k.field.column.slice(1, -1)] as Value)
  const branches: Clause[] = []
  for (const [index, key] of keys.entries()) {
    const beyond = strictlyAfter(key, values[index] ?? null)
    if (beyond === undefined) continue
    const equal = keys.slice(0, index).map((k, i) => same(k.field.column, values[i] ?? null))
    branches.push(all([...equal, beyond]))
  }
  const either = { text: `(${branches.map((b) => `(${b.text})`).join(' OR ')})`, bindings: branches.flatMap((b) => b.bindings) }
  // Repeats what the branches say about the first key, as a range an index can be entered by.
  const first = keys[0]
  const value = values[0] ?? null
  if (keys.length === 1 || first === undefined || value === null || (first.dir === 'desc' && first.field.nullable)) return either
  return all([{ text: `${first.field.column} ${first.dir === 'desc' ? '<=' : '>='} ?`, bindings: [value] }, either])
}

const same = (column: string, value: Value): Clause =>
  value === null ? { text: `${column} IS NULL`, bindings: [] } : { text: `${column} = ?`, bindings: [value] }

function strictlyAfter({ field: { column, nullable }, dir }: Order, value: Value): Clause | undefined {
  if (dir === 'asc') return value === null ? { text: `${column} IS NOT NULL`, bindings: [] } : { text: `${column} > ?`, bindings: [value] }
  if (value === null) return undefined
  return { text: nullable ? `(${column} < ? OR ${column} IS NULL)` : `${column} < ?`, bindings: [value] }
}

/**
 * The index a list should be read by, if one was made for it: its first columns are asked to be equal, the rest is the
 * order. Undefined where a condition on another column may be more selective: then the engine decides.
 */
export function listIndex<T>(
  table: Table<T>,
  scope: Scope,
  where: Query<T>['where'],
  keys: readonly Order[],
): readonly string[] | undefined {
  if (scope === ANY) return undefined
  const bare = (column: string): string => column.slice(1, -1)
  const equal = new Set(['project_id'])
  for (const [name, condition] of Object.entries(where ?? {})) {
    if (condition === undefined || !('is' in (condition as object) || 'in' in (condition as object))) continue
    const column = bare(table.column(name))
    if (!table.listedBy.some((columns) => columns.includes(column))) return undefined
    if ('is' in (condition as object)) equal.add(column)
  }
  const sorted = keys.map((k) => bare(k.field.column))
  return table.listedBy.find((columns) => {
    const rest = columns.filter((column, index) => !(equal.has(column) && index < columns.length - 1))
    return rest.length === 1 && rest[0] === sorted[0] && sorted.length === (rest[0] === 'seq' ? 1 : 2)
  })
}
