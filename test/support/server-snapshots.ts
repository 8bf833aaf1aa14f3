/** Servers with disks, and snapshots of them as the worker leaves them, for tests of the API. */
import { randomUUID } from 'node:crypto'
import type { Job } from '../../src/domain/job.js'
import type { Server } from '../../src/domain/server.js'
import type { CreateServerSnapshotInput } from '../../src/domain/server-snapshot-operations.js'
import { ANY } from '../../src/ports/stores.js'
import { HOST_ID, type Role, type TestApi } from './api.js'
import { layerRow, serverRow } from './rows.js'
import { GIB, jobOf, serverWith, settleJobs, volumeIn } from './volumes.js'

export const V1 = '/strata/v1'

export interface Machine {
  readonly serverId: string
  readonly rootDiskId: string
  readonly volumeId: string
}

/** A server with a root disk (vda) and a volume (vdb). */
export async function machine(api: TestApi, role: Role = 'member', patch: Partial<Server> = {}): Promise<Machine> {
  const volumeId = await volumeIn(api, 'available', role, { size: 1, name: 'data' })
  const serverId = await serverWith(api, role, volumeId)
  const [rootDiskId, layerId] = [randomUUID(), randomUUID()]
  const projectId = api.projectId(role)
  await api.db.transaction(async (stores) => {
    await stores.layers.insert(layerRow({ id: layerId, poolId: api.poolId, projectId, virtualSize: GIB, state: 'top' }))
    const disk = { id: rootDiskId, hostId: HOST_ID, poolId: api.poolId, projectId, kind: 'root' as const, serverId, topLayerId: layerId }
    await stores.disks.insert({ ...disk, virtualSize: GIB, createdAt: Date.now() * 1000 })
    await stores.servers.update(serverId, patch)
  })
  return { serverId, rootDiskId, volumeId }
}

/** Without any disk. */
export async function bareServer(api: TestApi, role: Role = 'member'): Promise<string> {
  const { projectId, userId } = api.caller(role)
  const server = serverRow({ projectId, userId, hostId: HOST_ID, fault: null })
  await api.db.transaction((stores) => stores.servers.insert(server))
  return server.id
}

export async function requestSnapshot(api: TestApi, serverId: string, body: object = {}, role: Role = 'member') {
  const answer = await api.as(role).post(`${V1}/servers/${serverId}/snapshots`).send(body).expect(202)
  return answer.body as { server_snapshot: { id: string; name: string }; job_id: string }
}

/** As the operation settles it: tops sealed under overlays (or tagged), the parts pinning them, a node more in the tree. */
export async function takeSnapshot(api: TestApi, serverId: string, body: object = {}): Promise<string> {
  const { server_snapshot } = await requestSnapshot(api, serverId, body)
  const { input } = (await jobOf<CreateServerSnapshotInput>(api, server_snapshot.id)) as Job & { input: CreateServerSnapshotInput }
  await settleJobs(api)
  await api.db.transaction(async (stores) => {
    for (const { diskSnapshotId, diskId, layerId } of input.disks) {
      const top = (await stores.disks.find(ANY, diskId))?.topLayerId ?? ''
      await stores.diskSnapshots.update(diskSnapshotId, { layerId: top, tag: layerId === null ? 's-tag' : null })
      if (layerId === null) continue
      await stores.layers.transition(top, ['top'], { state: 'sealed' })
      await stores.layers.transition(layerId, ['planned'], { state: 'top', parentId: top })
      await stores.disks.update(diskId, { topLayerId: layerId })
    }
    const server = await stores.servers.find(ANY, serverId)
    const parentId = server?.currentSnapshotId ?? null
    await stores.serverSnapshots.transition(input.serverSnapshotId, ['creating'], { status: 'available', parentId, powerState: 'running' })
    await stores.servers.update(serverId, { currentSnapshotId: input.serverSnapshotId })
  })
  return server_snapshot.id
}
