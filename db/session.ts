/**
 * A place to say SQL: inside one transaction (bound to its connection) or outside any (then it only reads).
 * Stores are made on a session and never know which of the two they got.
 */
import type { Micros } from '../src/domain/time.js'
import type { Dialect } from './dialect.js'

export type Value = string | number | null
export type Row = Record<string, unknown>

export interface Session {
  readonly dialect: Dialect
  /** Wall clock, for records the stores themselves stamp. */
  now(): Micros
  rows(sql: string, bindings?: readonly Value[]): Promise<Row[]>
  /** Changes rows; returns how many matched. */
  run(sql: string, bindings?: readonly Value[]): Promise<number>
}

/** Thrown by a store that lost a race it can only win by starting over: the unit of work runs again. */
export class StartOver extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'StartOver'
  }
}

export const asNumber = (value: unknown): number => Number(value ?? 0)
export const asText = (value: unknown): string => String(value ?? '')
export const marks = (count: number): string => Array.from({ length: count }, () => '?').join(', ')
