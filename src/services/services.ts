/**
 * All that a caller may ask, as one plain object; the API knows nothing else of the inside. Each service is made by a
 * factory of one deps object and adds its line to `Services` and to `createServices`.
 */
import type { Clock } from '../ports/clock.js'
import type { Doorbell } from '../ports/doorbell.js'
import type { ImageStore } from '../ports/image-store.js'
import type { Database } from '../ports/stores.js'
import { createIdentityService, type IdentityService } from './identity.js'
import { createImageService, type ImageService } from './images.js'

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
}

export interface Services {
  readonly identity: IdentityService
  readonly image: ImageService
}

export function createServices(deps: ServiceDeps): Services {
  return {
    identity: createIdentityService(deps),
    image: createImageService(deps),
  }
}
