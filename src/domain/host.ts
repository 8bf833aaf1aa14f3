/** A machine with a worker and its pools. */
import type { Micros } from './time.js'

export interface Host {
  id: string
  state: 'up' | 'down'
  /** Base URL of the worker's doorbell, empty while none listens. */
  address: string
  bootId: string
  capabilities: Readonly<Record<string, unknown>>
  heartbeatAt: Micros
  createdAt: Micros
}

/** A process that claims jobs. `pid` and `startTime` (clock ticks since boot) name it beyond doubt. */
export interface Worker {
  id: string
  hostId: string
  pid: number
  startTime: number
  heartbeatAt: Micros
  createdAt: Micros
}

export interface Pool {
  id: string
  hostId: string
  name: string
  /** Absolute directory that holds layer files. */
  path: string
  isDefault: boolean
  createdAt: Micros
}
