/** Every operation by name and version. A version stays here as long as an unfinished job may name it. */
import type { Operation } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'
import { attachVolumeOperation, detachVolumeOperation } from './attach-volume.js'
import { captureImageOperation } from './capture-image.js'
import { cloneVolumeOperation } from './clone-volume.js'
import { commitChainOperation } from './commit-chain.js'
import { copyDiskOperation } from './copy-disk.js'
import { createServerOperation } from './create-server.js'
import { createServerSnapshotOperation } from './create-server-snapshot.js'
import { createSnapshotOperation } from './create-snapshot.js'
import { createVolumeOperation } from './create-volume.js'
import { deleteServerOperation } from './delete-server.js'
import { deleteServerSnapshotsOperation } from './delete-server-snapshots.js'
import { deleteSnapshotOperation } from './delete-snapshot.js'
import { deleteVolumeOperation } from './delete-volume.js'
import { discardSavedOperation } from './discard-saved.js'
import { dropLayerOperation } from './drop-layer.js'
import { exportImageOperation } from './export-image.js'
import { extendVolumeOperation } from './extend-volume.js'
import { importImageOperation } from './import-image.js'
import { mergeLayerOperation } from './merge-layer.js'
import { observeStorageOperation } from './observe-storage.js'
import { pauseServerOperation, unpauseServerOperation } from './pause-server.js'
import { pullChainOperation } from './pull-chain.js'
import { rebootServerOperation } from './reboot-server.js'
import { recordGuestOffOperation, recordQemuLostOperation } from './record-guest.js'
import { restoreServerOperation } from './restore-server.js'
import { revertServerOperation } from './revert-server.js'
import { revertVolumeOperation } from './revert-volume.js'
import { saveServerOperation } from './save-server.js'
import { startServerOperation } from './start-server.js'
import { stopServerOperation } from './stop-server.js'

export type Registry = ReadonlyMap<string, Operation<object, Tools>>

/** An operation reads only its own input, which a job of its name always carries. */
const entry = <I extends object>(operation: Operation<I, Tools>): [string, Operation<object, Tools>] => [
  operationKey(operation.descriptor.name, operation.descriptor.version),
  operation as unknown as Operation<object, Tools>,
]

export const operationKey = (name: string, version: number): string => `${name}@${version}`

export const registry: Registry = new Map([
  entry(attachVolumeOperation),
  entry(captureImageOperation),
  entry(cloneVolumeOperation),
  entry(commitChainOperation),
  entry(copyDiskOperation),
  entry(createServerOperation),
  entry(createServerSnapshotOperation),
  entry(createSnapshotOperation),
  entry(createVolumeOperation),
  entry(deleteServerOperation),
  entry(deleteServerSnapshotsOperation),
  entry(deleteSnapshotOperation),
  entry(deleteVolumeOperation),
  entry(detachVolumeOperation),
  entry(discardSavedOperation),
  entry(dropLayerOperation),
  entry(exportImageOperation),
  entry(extendVolumeOperation),
  entry(importImageOperation),
  entry(mergeLayerOperation),
  entry(observeStorageOperation),
  entry(pauseServerOperation),
  entry(pullChainOperation),
  entry(rebootServerOperation),
  entry(recordGuestOffOperation),
  entry(recordQemuLostOperation),
  entry(revertServerOperation),
  entry(revertVolumeOperation),
  entry(restoreServerOperation),
  entry(saveServerOperation),
  entry(startServerOperation),
  entry(stopServerOperation),
  entry(unpauseServerOperation),
])
