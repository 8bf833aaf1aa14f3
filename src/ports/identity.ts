/** Who holds a token. The embedded identity service answers it; a real Keystone can be plugged in instead. */
import type { Caller } from '../domain/caller.js'

export interface Authenticator {
  /** The caller a token stands for, or DomainError `unauthenticated`. Asked on every request: a revoked token ends at once. */
  authenticate(secret: string, requestId: string): Promise<Caller>
}
