/** Rows as a service would have written them, with what no scenario cares about filled in. */
import type { Image } from '../../src/domain/image.js'
import type { Server } from '../../src/domain/server.js'
import type { ServerSnapshot } from '../../src/domain/server-snapshot.js'
import type { Snapshot } from '../../src/domain/snapshot.js'
import type { Volume } from '../../src/domain/volume.js'
import * as rows from '../support/rows.js'

type Row<T> = Omit<T, 'seq'>
type Given<T, K extends keyof T> = Pick<T, K>

export const GIB_SIZE = 1
const POWER: Partial<Record<Server['vmState'], Server['powerState']>> = { active: 1, paused: 3, stopped: 4 }

export const volumeRow = (
  given: Given<Volume, 'id' | 'projectId' | 'userId' | 'diskId' | 'volumeTypeId' | 'createdAt'>,
  isWritten: boolean,
  patch: Partial<Row<Volume>>,
): Row<Volume> =>
  rows.volumeRow({
    ...given,
    name: null,
    status: isWritten ? 'available' : 'creating',
    sizeGib: GIB_SIZE,
    bootable: false,
    metadata: {},
    ...patch,
  })

export const serverRow = (
  given: Given<Server, 'id' | 'projectId' | 'userId' | 'hostId' | 'createdAt' | 'vmState' | 'taskState'>,
  patch: Partial<Row<Server>>,
): Row<Server> => {
  const usual = rows.serverRow()
  return {
    ...usual,
    ...given,
    name: 'victim',
    powerState: POWER[given.vmState] ?? 0,
    flavor: { ...usual.flavor, id: '1', name: 'tiny', ramMib: 32 },
    imageId: null,
    imageProperties: {},
    tags: [],
    accessIpV6: '',
    fault: null,
    launchedAt: null,
    ...patch,
  }
}

export const snapshotRow = (
  given: Given<Snapshot, 'id' | 'projectId' | 'userId' | 'volumeId' | 'diskId' | 'serverId' | 'layerId' | 'status' | 'createdAt'>,
): Row<Snapshot> => rows.snapshotRow({ ...given, name: null, description: null, sizeGib: GIB_SIZE })

export const serverSnapshotRow = (
  given: Given<ServerSnapshot, 'id' | 'projectId' | 'userId' | 'serverId' | 'createdAt'>,
  patch: Partial<Row<ServerSnapshot>>,
): Row<ServerSnapshot> =>
  rows.serverSnapshotRow({
    ...given,
    name: `s-${given.id}`,
    status: 'available',
    kind: 'external',
    withMemory: false,
    parentId: null,
    powerState: 'stopped',
    report: null,
    ...patch,
  })

export const imageRow = (
  given: Given<Image, 'id' | 'projectId' | 'status' | 'createdAt' | 'updatedAt'>,
  patch: Partial<Row<Image>>,
): Row<Image> =>
  rows.imageRow({
    ...given,
    name: null,
    visibility: 'private',
    diskFormat: null,
    containerFormat: null,
    size: null,
    virtualSize: null,
    ...patch,
  })
