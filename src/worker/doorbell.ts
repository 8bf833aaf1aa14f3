/** The doorbell inside one process: rings wake whoever waits for this host. Missing a ring costs a poll, never a job. */
import type { Doorbell } from '../ports/doorbell.js'

export interface LocalDoorbell extends Doorbell {
  /** Called at every ring of the host; returns how to stop that. */
  onRing(hostId: string, listener: () => void): () => void
}

export function createLocalDoorbell(): LocalDoorbell {
  const listeners = new Map<string, Set<() => void>>()
  return {
    ring(hostId) {
      for (const listener of listeners.get(hostId) ?? []) setImmediate(listener)
    },
    onRing(hostId, listener) {
      const known = listeners.get(hostId) ?? new Set()
      listeners.set(hostId, known.add(listener))
      return () => void known.delete(listener)
    },
  }
}
