/** Snapshots of servers as their tables, files and tree show them, with real QEMU and nothing that goes wrong but the guest. */
import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tagName } from '../../src/domain/names.js'
import { deleteServer } from '../../src/domain/operations.js'
import type { VmState } from '../../src/domain/server.js'
import type { SnapshotKind } from '../../src/domain/server-snapshot.js'
import { deleteServerSnapshots } from '../../src/domain/server-snapshot-operations.js'
import type { Quiesce } from '../../src/domain/snapshot.js'
import { ANY } from '../../src/ports/stores.js'
import { createReconciler } from '../../src/worker/reconciler.js'
import { memoryStateRow } from '../support/rows.js'
import { drive, killGuests } from './engine.js'
import { judge } from './oracle.js'
import { type AgentScript, incarnate, makeClock } from './ports.js'
import { taken } from './revert-scenarios.js'
import { grown, remove, tagged, twoTags } from './server-snapshot-deletion-scenarios.js'
import { pair, take } from './server-snapshot-scenarios.js'
import { BASE, SMALL, served, TOP } from './stage.js'
import { makeWorld, type World } from './world.js'

let world: World
beforeEach(async () => {
  world = await makeWorld(makeClock())
})
afterEach(async () => {
  await killGuests(world.dir)
  await world.destroy()
})

const quietly = { operation: deleteServerSnapshots.name, fault: { kind: 'none' }, reconciles: false } as const
const found = async (id: string) => await world.db.read.serverSnapshots.find(ANY, id)
const current = async (serverId: string) => (await world.db.read.servers.find(ANY, serverId))?.currentSnapshotId
const partsOf = async (id: string) => await world.db.read.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: id } } })
const jobs = async (operation: string) => await world.db.read.jobs.list(ANY, { where: { operation: { is: operation } } })

async function takes(vmState: VmState, kind: SnapshotKind, quiesce: Quiesce = 'none', agent: AgentScript = 'honest') {
  const server = await pair(world, vmState)
  const before = await taken(world, server.serverId, [])
  await world.db.transaction((s) => s.servers.update(server.serverId, { currentSnapshotId: before.id }))
  const id = await take(world, server, kind, quiesce)
  await drive(world, { ...quietly, agent })
  return { ...server, before: before.id, id }
}

describe('a snapshot of a server', { timeout: 120_000 }, () => {
  it.each(['external', 'internal'] as const)('that is %s grows from the current one, and is the current one then', async (kind) => {
    const { id, before, serverId, volumes } = await takes('active', kind, 'required')
    const report = { reached: 'filesystem', live: true, skew: 0, degradedReason: null }
    expect(await found(id)).toMatchObject({ status: 'available', parentId: before, powerState: 'running', report })
    expect(await current(serverId)).toBe(id)
    const tops = volumes.map((volume) => volume.layerIds.at(-1))
    expect((await partsOf(id)).map((part) => part.layerId).toSorted()).toEqual(tops.toSorted())
    expect(new Set((await partsOf(id)).map((part) => part.tag))).toEqual(new Set([kind === 'internal' ? tagName(id) : null]))
    const events = await world.db.read.events.list(ANY, { where: { resourceId: { is: id } } })
    expect(events.map((event) => event.kind)).toEqual(['server_snapshot.available'])
    expect(await judge(world)).toEqual([])
  })

  it('says what the server was doing, and what was reached', async () => {
    const { id } = await takes('paused', 'internal')
    expect(await found(id)).toMatchObject({ powerState: 'paused', report: { reached: 'crash_group', live: true } })
    const off = await takes('stopped', 'external')
    expect(await found(off.id)).toMatchObject({ powerState: 'stopped', report: { reached: 'offline', live: false } })
  })

  it('that is internal fails where the guest was thawed too early, and its tags go when it is deleted', async () => {
    const { id, before, serverId, volumes } = await takes('active', 'internal', 'required', 'thaws-early')
    expect(await found(id)).toMatchObject({ status: 'error', parentId: null })
    expect(await current(serverId)).toBe(before)
    expect(await world.db.read.messages.list(ANY, { where: { resourceId: { is: id } } })).toHaveLength(1)
    const diskIds = volumes.map((volume) => volume.diskId)
    await remove(world, serverId, [id], diskIds)
    await drive(world, quietly)
    // The oracle knows a tag that belongs to nobody.
    expect(await judge(world)).toEqual([])
  })
})

describe('the memory of a server', { timeout: 120_000 }, () => {
  it.each(['external', 'internal'] as const)('is not kept in an %s snapshot that leaves out one of its disks', async (kind) => {
    const { serverId, volumes } = await pair(world, 'active')
    const id = await take(world, { serverId, volumes: volumes.slice(1) }, kind, 'none', true)
    await drive(world, quietly)
    expect(await found(id)).toMatchObject({ status: 'error' })
    const [message] = await world.db.read.messages.list(ANY, { where: { resourceId: { is: id } } })
    expect(message?.userMessage).toBe('create snapshot:Memory is kept with all disks of the server, or not at all.')
    expect(await judge(world)).toEqual([])
  })
})

describe('deleting snapshots of a server', { timeout: 120_000 }, () => {
  it('closes the tree over them, and the present has grown from what is left', async () => {
    const { serverId, volume } = await served(world, 'stopped', [BASE, SMALL, TOP])
    const [first = '', second = ''] = await grown(world, serverId, volume, [0, 1])
    const { id: other } = await taken(world, serverId, [], { parentId: second })
    await remove(world, serverId, [second], [])
    await drive(world, quietly)
    expect(await found(second)).toBeUndefined()
    expect(await partsOf(second)).toEqual([])
    expect((await found(other))?.parentId).toBe(first)
    expect(await current(serverId)).toBe(first)
    await remove(world, serverId, [first, other], [])
    await drive(world, quietly)
    expect(await current(serverId)).toBeNull()
    expect(await judge(world)).toEqual([])
  })

  it('removes the memory that was kept with one', async () => {
    const { serverId, volume } = await served(world, 'stopped', [BASE, SMALL])
    const [id = ''] = await grown(world, serverId, volume, [0])
    const { poolId, projectId, hostId } = world
    const memory = memoryStateRow({ poolId, projectId, hostId, serverId, serverSnapshotId: id })
    await world.db.transaction((s) => s.memoryStates.insert(memory))
    await writeFile(join(world.pool, memory.fileName), 'memory')
    await remove(world, serverId, [id], [])
    await drive(world, quietly)
    expect(await world.db.read.memoryStates.find(ANY, memory.id)).toBeUndefined()
    await expect(access(join(world.pool, memory.fileName))).rejects.toThrow('ENOENT')
    expect(await judge(world)).toEqual([])
  })

  it('goes along with deleting the server, and leaves its volumes without tags', async () => {
    const { serverId, volume, ids } = await twoTags(world, 'active')
    const root = await world.rootOf(serverId, [BASE, TOP])
    await taken(world, serverId, [{ volume: { ...root, volumeId: '' }, layerId: root.layerIds[0] ?? '' }])
    await world.enqueue(deleteServer, { serverId, diskIds: [volume.diskId, root.diskId] })
    await drive(world, quietly)
    expect(await Promise.all(ids.map(found))).toEqual([undefined, undefined])
    expect(await world.db.read.layers.find(ANY, root.layerIds[0] ?? '')).toBeUndefined()
    expect(await judge(world)).toEqual([])
  })

  it('takes along tags that an earlier deletion had to leave', async () => {
    const { serverId, volume, ids } = await twoTags(world, 'stopped')
    // Nobody names the first one's any more.
    const [part] = await partsOf(ids[0] ?? '')
    await world.db.transaction(async (s) => {
      await s.serverSnapshots.remove(ids[0] ?? '')
      await s.quotas.release(ids[0] ?? '')
      await s.diskSnapshots.remove(part?.id ?? '')
      await s.serverSnapshots.update(ids[1] ?? '', { parentId: null })
    })
    expect(await judge(world)).toEqual([expect.stringContaining('belongs to nobody')])
    await remove(world, serverId, ids.slice(1), [volume.diskId])
    await drive(world, quietly)
    expect(await judge(world)).toEqual([])
  })
})

describe('a layer below one that holds an internal snapshot', { timeout: 120_000 }, () => {
  async function below() {
    const { serverId, volume } = await served(world, 'stopped', [BASE, TOP])
    const { tag, content } = await tagged(world, volume, SMALL)
    const { id, partIds } = await taken(world, serverId, [{ volume, layerId: volume.layerIds[1] ?? '', tag }], { kind: 'internal' })
    world.expected.set(partIds[0] ?? '', content)
    return { serverId, volume, id, layerId: volume.layerIds[0] ?? '' }
  }

  it('is merged as soon as that one goes, without waiting for the reconciler', async () => {
    const { serverId, volume, id, layerId } = await below()
    await remove(world, serverId, [id], [volume.diskId])
    await drive(world, quietly)
    expect(await world.db.read.layers.find(ANY, layerId)).toBeUndefined()
    expect(await judge(world)).toEqual([])
  })

  it('is not asked for by the reconciler until then', async () => {
    await below()
    const { ports, die } = await incarnate(world, 'honest')
    try {
      await createReconciler({ ports, doorbell: { ring: () => {} }, log: { info: () => {}, warn: () => {} } }).sweep()
      expect(await jobs('merge-layer')).toEqual([])
    } finally {
      await die()
    }
  })
})
