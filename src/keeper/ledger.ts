/** Which guests are frozen or may be, on disk, for the keeper that comes after this one. Guests do not survive the host, so no fsync. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Target } from './protocol.js'

export interface LedgerEntry extends Target {
  readonly holder: string
}

export interface Ledger {
  read(): LedgerEntry[]
  write(entries: readonly LedgerEntry[]): void
}

export function createLedger(path: string): Ledger {
  return {
    read() {
      try {
        return JSON.parse(readFileSync(path, 'utf8'))
      } catch {
        return []
      }
    },
    write(entries) {
      writeFileSync(`${path}.new`, JSON.stringify(entries), { mode: 0o600 })
      renameSync(`${path}.new`, path)
    },
  }
}
