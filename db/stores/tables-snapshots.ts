/** The column lists of server snapshots and what belongs to them. */
import type { ChainPolicy } from '../../src/domain/chain-policy.js'
import type { MemoryState } from '../../src/domain/memory-state.js'
import type { DiskSnapshot, ServerSnapshot } from '../../src/domain/server-snapshot.js'
import { defineTable, OWN_PROJECT } from './table.js'

export const serverSnapshots = defineTable<ServerSnapshot>({
  name: 'server_snapshots',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,seq'],
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    userId: 'text',
    serverId: 'text',
    name: 'text',
    description: 'text?',
    status: 'text',
    kind: 'text',
    withMemory: 'bool',
    parentId: 'text?',
    powerState: 'text?',
    metadata: 'json',
    report: 'json?',
    protected: 'bool',
    expiresAt: 'int?',
    createdAt: 'int',
    updatedAt: 'int?',
  },
})

export const diskSnapshots = defineTable<DiskSnapshot>({
  name: 'disk_snapshots',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,seq'],
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    serverSnapshotId: 'text',
    diskId: 'text',
    volumeId: 'text?',
    device: 'text',
    layerId: 'text?',
    tag: 'text?',
    virtualSize: 'int',
    createdAt: 'int',
  },
})

export const memoryStates = defineTable<MemoryState>({
  name: 'memory_states',
  tenant: OWN_PROJECT,
  listedBy: ['project_id,seq'],
  fields: {
    id: 'text',
    seq: 'int',
    projectId: 'text',
    hostId: 'text',
    serverId: 'text',
    serverSnapshotId: 'text?',
    format: 'text',
    poolId: 'text',
    fileName: 'text',
    status: 'text',
    size: 'int?',
    mac: 'text?',
    keyId: 'text?',
    binding: 'json?',
    resumeAtStart: 'bool',
    wasRunning: 'bool',
    createdAt: 'int',
  },
})

export const chainPolicies = defineTable<ChainPolicy>({
  name: 'chain_policies',
  tenant: OWN_PROJECT,
  fields: { id: 'text', projectId: 'text', softDepth: 'int', hardDepth: 'int', bytesPerSecond: 'int', createdAt: 'int' },
})
