/**
 * Everything in which SQLite and MariaDB/MySQL differ, and nothing else: how a transaction begins, how an upsert
 * reads, which DDL a table becomes, and what an error of the driver means. The rest of this room writes one SQL.
 */

/** retry: certainly rolled back, safe to run again. lost: the connection died. duplicate: a unique key is taken. */
export type Meaning = 'retry' | 'lost' | 'duplicate' | 'other'

export interface TableShape {
  readonly name: string
  /** In neutral types: ID, WORD (indexable, 255 characters), TEXT, INT, BOOL, JSON. `seq` comes first by itself. */
  readonly columns: readonly string[]
  /** `unique a,b` or `index a,b`; a column as `name(64)` is indexed by its beginning where an engine needs that. */
  readonly indexes: readonly string[]
}

export interface Dialect {
  readonly engine: 'sqlite' | 'mysql'
  readonly begin: string
  /** Ends a SELECT whose rows this transaction is about to change. */
  readonly forUpdate: string
  /** After a table's name: MariaDB likes to walk the whole table in `seq` order rather than enter the index meant for it. */
  byIndex(table: string, columns: readonly string[]): string
  /** Can COMMIT fail so that nobody knows whether it happened? */
  readonly commitMayBeUnknown: boolean
  /** What follows INSERT … VALUES (…): on a clash with `keys`, `changes` instead. */
  onClash(keys: readonly string[], changes: readonly string[]): string
  /** The value the clashing INSERT brought, inside `onClash`. */
  incoming(column: string): string
  createTable(shape: TableShape, options: { collation: string }): string[]
  meaning(error: unknown): Meaning
  /** Was this DDL done before? MySQL has no IF NOT EXISTS for some. */
  alreadyThere(error: unknown): boolean
}

const TYPES = {
  sqlite: { ID: 'TEXT', WORD: 'TEXT', TEXT: 'TEXT', INT: 'INTEGER', BOOL: 'INTEGER', JSON: 'TEXT' },
  mysql: { ID: 'VARCHAR(255)', WORD: 'VARCHAR(255)', TEXT: 'LONGTEXT', INT: 'BIGINT', BOOL: 'SMALLINT', JSON: 'LONGTEXT' },
} as const

const typed = (engine: 'sqlite' | 'mysql', column: string): string =>
  column.replace(/\b(ID|WORD|TEXT|INT|BOOL|JSON)\b/, (word) => TYPES[engine][word as keyof (typeof TYPES)['sqlite']])

export const codeOf = (error: unknown): string => String((error as { code?: unknown } | null)?.code ?? '')
const numberOf = (error: unknown): number => Number((error as { errno?: unknown } | null)?.errno ?? 0)

interface Index {
  readonly unique: boolean
  readonly columns: string[]
}
const index = (text: string): Index => {
  const [kind, columns = ''] = text.split(' ')
  return { unique: kind === 'unique', columns: columns.split(',') }
}
const indexName = (table: string, columns: readonly string[]): string =>
  `${table}_${columns.map((c) => c.replace(/\(.*/, '')).join('_')}`.slice(0, 60)

export const sqlite: Dialect = {
  engine: 'sqlite',
  // IMMEDIATE: a deferred one that reads and then writes fails at once when another process wrote in between.
  begin: 'BEGIN IMMEDIATE',
  forUpdate: '',
  byIndex: () => '',
  commitMayBeUnknown: false,
  onClash: (keys, changes) =>
    ` ON CONFLICT (${keys.map((k) => `\`${k}\``).join(', ')}) DO ${changes.length === 0 ? 'NOTHING' : `UPDATE SET ${changes.join(', ')}`}`,
  incoming: (column) => `excluded.\`${column}\``,
  createTable: (shape) => [
    `CREATE TABLE IF NOT EXISTS \`${shape.name}\` (\`seq\` INTEGER PRIMARY KEY AUTOINCREMENT, ${shape.columns.map((c) => typed('sqlite', c)).join(', ')})`,
    ...shape.indexes.map(index).map(({ unique, columns }) => {
      const whole = columns.map((c) => `\`${c.replace(/\(.*/, '')}\``).join(', ')
      return `CREATE ${unique ? 'UNIQUE ' : ''}INDEX IF NOT EXISTS \`${indexName(shape.name, columns)}\` ON \`${shape.name}\` (${whole})`
    }),
  ],
  meaning(error) {
    const code = codeOf(error)
    if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) return 'retry'
    if (code === 'SQLITE_CONSTRAINT_UNIQUE' || code === 'SQLITE_CONSTRAINT_PRIMARYKEY') return 'duplicate'
    return 'other'
  },
  alreadyThere: () => false,
}

/** Deadlock, lock wait, changed since read, node not (yet) part of the cluster. */
const RETRIED = new Set([1213, 1205, 1020, 1047])
/** The server said goodbye: shutting down, connection killed, gone away, lost, idle too long. */
const GONE = new Set([1053, 1927, 2006, 2013, 4031, 1152, 1184, 1317])
const GONE_CODES = new Set(['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'EPIPE', 'ECONNREFUSED', 'ENOENT', 'ETIMEDOUT', 'EHOSTUNREACH'])

export const mysql: Dialect = {
  engine: 'mysql',
  begin: 'START TRANSACTION',
  forUpdate: ' FOR UPDATE',
  byIndex: (table, columns) => ` FORCE INDEX (\`${indexName(table, columns)}\`)`,
  commitMayBeUnknown: true,
  onClash: (keys, changes) => ` ON DUPLICATE KEY UPDATE ${changes.length === 0 ? `\`${keys[0]}\` = \`${keys[0]}\`` : changes.join(', ')}`,
  incoming: (column) => `VALUES(\`${column}\`)`,
  // Indexes stand inside: DDL is not transactional there, so a table and its indexes must be one statement.
  createTable: (shape, { collation }) => [
    `CREATE TABLE IF NOT EXISTS \`${shape.name}\` (${[
      '`seq` BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY',
      ...shape.columns.map((c) => typed('mysql', c)),
      ...shape.indexes.map(index).map(({ unique, columns }) => {
        const parts = columns.map((c) => c.replace(/^(\w+)(\(\d+\))?$/, '`$1`$2')).join(', ')
        return `${unique ? 'UNIQUE ' : ''}INDEX \`${indexName(shape.name, columns)}\` (${parts})`
      }),
    ].join(', ')}) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE ${collation}`,
  ],
  meaning(error) {
    const number = numberOf(error)
    if (RETRIED.has(number)) return 'retry'
    if (number === 1062) return 'duplicate'
    if (GONE.has(number) || GONE_CODES.has(codeOf(error))) return 'lost'
    // mysql2 refuses to queue on a connection it knows dead: no number, `fatal` set.
    if ((error as { fatal?: unknown } | null)?.fatal === true && number <= 0) return 'lost'
    return 'other'
  },
  alreadyThere: (error) => [1050, 1060, 1061].includes(numberOf(error)),
}
