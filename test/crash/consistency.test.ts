/** What a snapshot may call itself, by what the guest agent did, on real disks of a running guest. */
import { describe, expect, it } from 'vitest'
import { createSnapshot } from '../../src/domain/operations.js'
import type { Quiesce } from '../../src/domain/snapshot.js'
import { ANY } from '../../src/ports/stores.js'
import { drive, killGuests } from './engine.js'
import { judge } from './oracle.js'
import { type AgentScript, makeClock } from './ports.js'
import { boot } from './stage.js'
import { makeWorld } from './world.js'

async function taken(quiesce: Quiesce, agent: AgentScript, state: 'active' | 'stopped') {
  const world = await makeWorld(makeClock())
  try {
    const serverId = await world.server(state)
    const volume = await world.volume([new Map([[0, 0x11]])])
    await world.attach(serverId, volume)
    if (state === 'active') await boot(world, serverId, [volume.diskId])
    const snapshotId = await world.snapshot(volume, null, 'creating', serverId)
    world.expected.set(snapshotId, world.expected.get(volume.diskId) ?? new Map())
    const switches = [{ diskId: volume.diskId, layerId: await world.planned() }]
    const snapshots = [{ snapshotId, diskId: volume.diskId }]
    const jobId = await world.enqueue(createSnapshot, { serverId, switches, snapshots, quiesce, imageId: null })
    await drive(world, { operation: 'create-snapshot', fault: { kind: 'none' }, agent })
    const snapshot = await world.db.read.snapshots.find(ANY, snapshotId)
    const job = await world.db.read.jobs.find(ANY, jobId)
    const messages = await world.db.read.messages.list(ANY, { where: { resourceId: { is: snapshotId } } })
    return { snapshot, job, messages, layers: await world.db.read.layers.list(ANY), wrong: await judge(world) }
  } finally {
    await killGuests(world.dir)
    await world.destroy()
  }
}

describe('the consistency of a snapshot', () => {
  it('is of the file system when the guest was frozen until its disk was switched', async () => {
    const { snapshot, job, wrong } = await taken('required', 'honest', 'active')
    expect(wrong).toEqual([])
    expect(job?.state).toBe('done')
    expect(snapshot?.report).toMatchObject({
      reached: 'filesystem',
      degradedReason: null,
      frozenFilesystems: 1,
      thawedFilesystems: 1,
      live: true,
    })
  })

  it('is that of a crash without an agent, and says why', async () => {
    const { snapshot, wrong } = await taken('best_effort', 'absent', 'active')
    expect(wrong).toEqual([])
    expect(snapshot?.report?.reached).toBe('crash')
    expect(snapshot?.report?.degradedReason).toBe('the guest agent did not freeze the file systems')
  })

  it('is that of a crash when the guest was thawed too early', async () => {
    const { snapshot, wrong } = await taken('best_effort', 'thaws-early', 'active')
    expect(wrong).toEqual([])
    expect(snapshot?.report?.reached).toBe('crash')
    expect(snapshot?.report?.degradedReason).toContain('thawed before')
  })

  it('fails without a trace on the disk when it is required and no agent answers', async () => {
    const { snapshot, job, messages, layers, wrong } = await taken('required', 'absent', 'active')
    expect(wrong).toEqual([])
    expect(job?.state).toBe('failed')
    expect(snapshot).toMatchObject({ status: 'error', layerId: null })
    expect(messages).toHaveLength(1)
    expect(layers).toHaveLength(1)
  })

  it('fails when it is required and the guest thawed itself, and the data it sealed is merged away', async () => {
    const { snapshot, job, layers, wrong } = await taken('required', 'thaws-early', 'active')
    expect(wrong).toEqual([])
    expect(job?.state).toBe('failed')
    expect(snapshot?.status).toBe('error')
    expect(layers).toHaveLength(1)
  })

  it('is offline when no guest ran, and needs no freezing', async () => {
    const { snapshot, wrong } = await taken('required', 'absent', 'stopped')
    expect(wrong).toEqual([])
    expect(snapshot?.report).toMatchObject({ reached: 'offline', degradedReason: null, live: false })
  })
})
