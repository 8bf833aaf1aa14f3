/** Tokens, and who holds one: asked on every request, so it is one look-up and not one for each table. */
import type { TokenStore } from '../../src/ports/stores.js'
import type { Row, Session } from '../session.js'
import { createRecords } from './records.js'
import type { Table } from './table.js'
import { projects, roles, tokens, users } from './tables.js'

/** A table within a join: its columns under names of their own, and a row's part read back. */
function part<T>(table: Table<T>, alias: string) {
  const plain = table.fields.map(({ column }) => column.slice(1, -1))
  return {
    columns: plain.map((name) => `${alias}.\`${name}\` AS ${alias}_${name}`).join(', '),
    /** undefined: the outer join found none. */
    of(row: Row): T | undefined {
      if (row[`${alias}_id`] === null) return undefined
      const own: Row = {}
      for (const name of plain) own[name] = row[`${alias}_${name}`]
      return table.fromRow(own)
    },
  }
}

const [t, u, p, r] = [part(tokens, 't'), part(users, 'u'), part(projects, 'p'), part(roles, 'r')]
const HOLDER = `SELECT ${t.columns}, ${u.columns}, ${p.columns}, ${r.columns}
  FROM tokens t JOIN users u ON u.id = t.user_id LEFT JOIN projects p ON p.id = t.project_id
  LEFT JOIN role_assignments a ON a.user_id = t.user_id AND a.project_id = t.project_id
  LEFT JOIN roles r ON r.id = a.role_id WHERE t.id = ? ORDER BY r.name, r.seq`

export function createTokenStore(session: Session): TokenStore {
  return {
    ...createRecords(session, tokens),
    async holder(id) {
      const rows = await session.rows(HOLDER, [id])
      const [first] = rows
      const token = first && t.of(first)
      const user = first && u.of(first)
      if (first === undefined || token === undefined || user === undefined) return undefined
      return { token, user, project: p.of(first), roles: rows.flatMap((row) => r.of(row) ?? []) }
    },
  }
}
