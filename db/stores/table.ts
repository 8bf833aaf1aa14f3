/**
 * A domain type as a table: which field is which kind of column, and how a project's scope reads in SQL. Row ↔ domain
 * happens here only: camelCase to snake_case, JSON as text, booleans as 0 and 1 (the engines answer differently).
 */
import { ANY, type Scope } from '../../src/ports/stores.js'
import type { Row, Value } from '../session.js'

export type Kind = 'text' | 'int' | 'bool' | 'json'
type KindOf<V> = null extends V ? `${Kind}?` : Kind

export interface TableSpec<T> {
  readonly name: string
  /** Complete by type: a field added to the domain does not compile until it has a column; `?` where it may be null. */
  readonly fields: { readonly [K in keyof T]-?: KindOf<T[K]> }
  /** A condition with `?` for the project's id; without it the rows belong to no tenant and every scope sees them. */
  readonly tenant?: string
  /** Indexes made for listing, the longest first: equal columns, then what it is sorted by. */
  readonly listedBy?: readonly string[]
}

export interface Field {
  readonly name: string
  readonly column: string
  readonly kind: Kind
  readonly nullable: boolean
}

export interface Table<T> {
  readonly name: string
  readonly fields: readonly Field[]
  /** The column of a field, quoted. */
  column(field: string): string
  field(name: string): Field
  /** Quoted, in the order `fromRow` expects. */
  readonly columns: string
  readonly listedBy: readonly (readonly string[])[]
  fromRow(row: Row): T
  scope(scope: Scope): { text: string; bindings: string[] }
}

export const OWN_PROJECT = '`project_id` = ?'

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

export function defineTable<T>(spec: TableSpec<T>): Table<T> {
  const fields: Field[] = Object.entries<string>(spec.fields).map(([name, kind]) => ({
    name,
    column: `\`${snake(name)}\``,
    kind: kind.replace('?', '') as Kind,
    nullable: kind.endsWith('?'),
  }))
  const plain = fields.map((f) => f.column.slice(1, -1))
  const byName = new Map(fields.map((f) => [f.name, f]))
  const field = (name: string): Field => {
    const found = byName.get(name)
    if (found === undefined) throw new TypeError(`${spec.name} has no field ${JSON.stringify(name)}`)
    return found
  }
  const count = spec.tenant?.split('?').length ?? 1
  return {
    name: spec.name,
    fields,
    field,
    column: (name) => (name === 'seq' ? '`seq`' : field(name).column),
    columns: fields.map((f) => f.column).join(', '),
    listedBy: (spec.listedBy ?? []).map((columns) => columns.split(',')),
    fromRow(row) {
      const record: Record<string, unknown> = {}
      for (const [index, f] of fields.entries()) record[f.name] = read(f.kind, row[plain[index] as string])
      return record as T
    },
    scope(scope) {
      if (scope === ANY || spec.tenant === undefined) return { text: '1 = 1', bindings: [] }
      if (typeof scope?.projectId !== 'string') throw new TypeError('a scope names a project, or is ANY')
      return { text: `(${spec.tenant})`, bindings: Array.from({ length: count - 1 }, () => scope.projectId) }
    },
  }
}

function read(kind: Kind, value: unknown): unknown {
  if (value === null || value === undefined) return null
  if (kind === 'json') return typeof value === 'string' ? JSON.parse(value) : value
  if (kind === 'bool') return Number(value) !== 0
  return kind === 'int' ? Number(value) : String(value)
}

export function toValue(kind: Kind, value: unknown): Value {
  if (value === null || value === undefined) return null
  if (kind === 'json') return JSON.stringify(value)
  if (kind === 'bool') return value ? 1 : 0
  if (kind === 'text') return String(value)
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw new TypeError(`not a whole number: ${String(value)}`)
  return number
}
