/**
 * All that a caller may ask, as one plain object; the API knows nothing else of the inside. Each service is made by a
 * factory of one deps object and adds its line to `Services` and to `createServices`.
 */
import { type ComputeServices, createComputeServices } from './compute/compute.js'
import type { ServiceDeps } from './deps.js'
import { createIdempotencyService, type IdempotencyService, recordAnswers } from './idempotency.js'
import { createIdentityService, type IdentityService } from './identity/identity.js'
import { createImageService, type ImageService } from './image/images.js'
import { type CapabilityService, createCapabilityService } from './strata/capabilities.js'
import { type ChainPolicyService, createChainPolicyService } from './strata/chain-policies.js'
import { type ChainService, createChainService } from './strata/chains.js'
import { createHostService, type HostService } from './strata/hosts.js'
import { createJobService, type JobService } from './strata/jobs.js'
import { createManagedSaveService, type ManagedSaveService } from './strata/managed-save.js'
import { createPlanService, type PlanService } from './strata/plans.js'
import { createServerRevertService, type ServerRevertService } from './strata/server-revert.js'
import { createServerSnapshotService, type ServerSnapshotService } from './strata/server-snapshots.js'
import { createSnapshotReportService, type SnapshotReportService } from './strata/snapshot-report.js'
import { createStorageAuditService, type StorageAuditService } from './strata/storage-audit.js'
import { createVolumeHostService, type VolumeHostService } from './volume/hosts.js'
import { createVolumeMessageService, type VolumeMessageService } from './volume/messages.js'
import { createVolumeQuotaService, type VolumeQuotaService } from './volume/quotas.js'
import { createSnapshotService, type SnapshotService } from './volume/snapshots.js'
import { createVolumeTransferService, type VolumeTransferService } from './volume/transfers.js'
import { createVolumeTypeService, type VolumeTypeService } from './volume/types.js'
import { createVolumeService, type VolumeService } from './volume/volumes.js'

export interface Services {
  readonly compute: ComputeServices
  readonly volume: VolumeService
  readonly snapshot: SnapshotService
  readonly volumeType: VolumeTypeService
  readonly volumeQuota: VolumeQuotaService
  readonly volumeHost: VolumeHostService
  readonly volumeMessage: VolumeMessageService
  readonly volumeTransfer: VolumeTransferService
  readonly identity: IdentityService
  readonly chain: ChainService
  readonly chainPolicy: ChainPolicyService
  readonly hosts: HostService
  readonly jobs: JobService
  readonly managedSave: ManagedSaveService
  readonly capabilities: CapabilityService
  readonly serverSnapshot: ServerSnapshotService
  readonly serverRevert: ServerRevertService
  readonly snapshotReports: SnapshotReportService
  readonly storageAudit: StorageAuditService
  readonly plans: PlanService
  readonly idempotency: IdempotencyService
  readonly image: ImageService
}

export function createServices(given: ServiceDeps): Services {
  // Accepting a request and remembering what it was answered is one transaction.
  const deps = { ...given, db: recordAnswers(given.db, given.clock) }
  return {
    compute: createComputeServices(deps),
    volume: createVolumeService(deps),
    snapshot: createSnapshotService(deps),
    volumeType: createVolumeTypeService(deps),
    volumeQuota: createVolumeQuotaService(deps),
    volumeHost: createVolumeHostService(deps),
    volumeMessage: createVolumeMessageService(deps),
    volumeTransfer: createVolumeTransferService(deps),
    identity: createIdentityService(deps),
    chain: createChainService(deps),
    chainPolicy: createChainPolicyService(deps),
    hosts: createHostService({ ...deps, doorbellSecret: deps.settings.doorbellSecret }),
    jobs: createJobService(deps),
    managedSave: createManagedSaveService(deps),
    capabilities: createCapabilityService(deps),
    serverSnapshot: createServerSnapshotService(deps),
    serverRevert: createServerRevertService(deps),
    snapshotReports: createSnapshotReportService(deps),
    plans: createPlanService({ db: deps.db, auditor: deps.auditor }),
    storageAudit: createStorageAuditService({ db: deps.db, auditor: deps.auditor }),
    idempotency: createIdempotencyService(given),
    image: createImageService(deps),
  }
}
