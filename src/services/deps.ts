/** What services are made of: the database, the clock, the doorbell, and what they must know of the configuration. */
import type { HostAuditor } from '../ports/auditor.js'
import type { Clock } from '../ports/clock.js'
import type { Doorbell } from '../ports/doorbell.js'
import type { ImageStore } from '../ports/image-store.js'
import type { Database } from '../ports/stores.js'
import type { ConsolePort } from './compute/console.js'

/** What services must know of the configuration. Sizes in bytes, durations in seconds. */
export interface ServiceSettings {
  /** The host new disks and servers are put on. */
  readonly hostId: string
  readonly region: string
  readonly availabilityZone: string
  /** Most items on one page of any list. */
  readonly maxPageSize: number
  readonly tokenLifetime: number
  /** scrypt: cost 2^n of newly set passwords. */
  readonly passwordCost: number
  /** Wrong passwords allowed per user and address within a minute. */
  readonly loginAttempts: number
  /** Directory for uploads on their way. */
  readonly stagingDir: string
  readonly maxImageSize: number
  readonly maxVirtualSize: number
  /** What other processes of ours ring with; without it only an administrator's token rings. */
  readonly doorbellSecret?: string | undefined
}

const GIB = 2 ** 30
export const DEFAULT_SETTINGS: Omit<ServiceSettings, 'hostId' | 'stagingDir'> = {
  region: 'RegionOne',
  availabilityZone: 'nova',
  maxPageSize: 1000,
  tokenLifetime: 3600,
  passwordCost: 15,
  loginAttempts: 10,
  maxImageSize: 1024 * GIB,
  maxVirtualSize: 64 * 1024 * GIB,
}

export interface ServiceDeps {
  readonly db: Database
  readonly doorbell: Doorbell
  readonly clock: Clock
  readonly settings: ServiceSettings
  readonly imageStore: ImageStore
  /** The serial logs of the host's guests. */
  readonly console: ConsolePort
  readonly auditor: HostAuditor
}
