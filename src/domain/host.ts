/** A machine with a worker and its pools. */
import type { Micros } from './time.js'

/** What its worker found out when it started: how the next guest will be run. Empty until one has. */
export interface HostCapabilities {
  readonly qemuVersion?: string
  /** What the alias stands for: pc-i440fx-7.2. */
  readonly machine?: string
  readonly accel?: string
  readonly cpu?: string
}

export interface Host {
  id: string
  state: 'up' | 'down'
  /** Base URL of the worker's doorbell, empty while none listens. */
  address: string
  bootId: string
  capabilities: HostCapabilities
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
