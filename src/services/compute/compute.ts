/** Nova's side of the house: every compute service under one name. */
import { type AttachmentService, createAttachmentService } from './attachments.js'
import { type ConsolePort, type ConsoleService, createConsoleService } from './console.js'
import { type CreateImageService, createCreateImageService } from './create-image.js'
import { createFlavorService, type FlavorService } from './flavors.js'
import { type ComputeImageService, createComputeImageService } from './images.js'
import { createInstanceActionService, type InstanceActionService } from './instance-actions.js'
import { createKeypairService, type KeypairService } from './keypairs.js'
import { type ComputeLimitsService, createComputeLimitsService } from './limits.js'
import { createServerActionService, type ServerActionService } from './server-actions.js'
import { type CreateServerSettings, createServerCreateService, type ServerCreateService } from './server-create.js'
import { createServerTagService, type ServerTagService } from './server-tags.js'
import { createServerService, type ServerService } from './servers.js'
import type { ComputeDeps } from './servers-common.js'
import { type ComputeZoneService, createComputeZoneService } from './zones.js'

export interface ComputeServices {
  readonly servers: ServerService
  readonly create: ServerCreateService
  readonly actions: ServerActionService
  readonly attachments: AttachmentService
  readonly createImage: CreateImageService
  readonly console: ConsoleService
  readonly instanceActions: InstanceActionService
  readonly flavors: FlavorService
  readonly tags: ServerTagService
  readonly limits: ComputeLimitsService
  readonly images: ComputeImageService
  readonly zones: ComputeZoneService
  readonly keypairs: KeypairService
}

export const createComputeServices = (deps: ComputeDeps & { settings: CreateServerSettings; console: ConsolePort }): ComputeServices => ({
  servers: createServerService(deps),
  create: createServerCreateService(deps),
  actions: createServerActionService(deps),
  attachments: createAttachmentService(deps),
  createImage: createCreateImageService(deps),
  console: createConsoleService(deps),
  instanceActions: createInstanceActionService(deps),
  flavors: createFlavorService(deps),
  tags: createServerTagService(deps),
  limits: createComputeLimitsService(deps),
  images: createComputeImageService(deps),
  zones: createComputeZoneService(deps),
  keypairs: createKeypairService(deps),
})
