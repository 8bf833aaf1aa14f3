/** Connections, whichever engine they go to: a place to oneself for a transaction, and one statement at a time for reads. */
import type { Dialect } from './dialect.js'
import type { Row, Value } from './session.js'

export interface Log {
  debug(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface Connection {
  rows(sql: string, bindings?: readonly Value[]): Promise<Row[]>
  run(sql: string, bindings?: readonly Value[]): Promise<number>
  /** Back to the pool; `broken` ones are closed instead. */
  release(broken: boolean): Promise<void>
}

export interface Pool {
  readonly dialect: Dialect
  /** A connection to itself, for a transaction. */
  acquire(): Promise<Connection>
  /** One statement on any connection. */
  read(sql: string, bindings?: readonly Value[]): Promise<Row[]>
  close(): Promise<void>
}
