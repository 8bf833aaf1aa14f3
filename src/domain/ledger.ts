/** What was told, done and made: user messages, instance actions, the outbox of events, the artefact ledger, idempotency keys. */
import type { Micros } from './time.js'

export interface Message {
  id: string
  seq: number
  projectId: string
  requestId: string
  resourceType: string
  resourceId: string
  eventId: string
  level: 'ERROR'
  userMessage: string
  createdAt: Micros
  expiresAt: Micros
}

export interface InstanceAction {
  id: string
  seq: number
  serverId: string
  projectId: string
  userId: string
  action: string
  requestId: string
  message: string | null
  startedAt: Micros
  updatedAt: Micros
  finishedAt: Micros | null
}

/** A row of the outbox: what server-sent events and webhooks read later. */
export interface Event {
  id: string
  seq: number
  projectId: string
  resourceType: string
  resourceId: string
  kind: string
  payload: Readonly<Record<string, unknown>>
  createdAt: Micros
}

/** Anything we made outside the database: written down before it is made. */
export interface Artefact {
  /** Stable name, e.g. `layer:<uuid>`. Processes are found by their pid files and are not listed here. */
  id: string
  kind: 'layer-file' | 'staging-file' | 'memory-file'
  hostId: string
  /** Absolute path. */
  location: string
  ownerType: 'layer' | 'image' | 'memory_state'
  ownerId: string
  createdAt: Micros
}

export interface IdempotencyKey {
  id: string
  projectId: string
  /** A digest of the key and whose it is. */
  key: string
  requestHash: string
  status: number
  response: string
  createdAt: Micros
}
