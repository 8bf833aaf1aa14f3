/** Saved memory on the host: made durable, sealed against change, and given up. Paths are absolute and inside a pool. */
import type { MemoryBinding } from '../domain/memory-state.js'

/** What a state's row says of its file. */
export interface Seal {
  readonly keyId: string
  /** Hex. */
  readonly mac: string
  /** Bytes. */
  readonly size: number
}

export interface MemoryFiles {
  /** partial: `<path>.part` is there, whole or not. */
  probe(path: string): Promise<'absent' | 'partial' | 'done'>
  /** What is whole at `<path>.part` gets its name, durably. Published already: succeeds. */
  publish(path: string): Promise<void>
  /** The file and its `.part`; of nothing succeeds. */
  remove(path: string): Promise<void>
  /** Over the state's id, what it is bound to and the file, with the newest key. */
  seal(state: { readonly id: string; readonly binding: MemoryBinding }, path: string, options: { signal: AbortSignal }): Promise<Seal>
  /** changed: not what was sealed, or by no key of ours. */
  check(
    state: { readonly id: string; readonly binding: MemoryBinding; readonly keyId: string; readonly mac: string },
    path: string,
    options: { signal: AbortSignal },
  ): Promise<'intact' | 'changed' | 'missing'>
}
