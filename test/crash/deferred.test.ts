/** Merges that cannot be yet, and merges into several children: what stands meanwhile, and when they come about. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { deleteSnapshot, mergeLayer, stopServer } from '../../src/domain/operations.js'
import { ANY } from '../../src/ports/stores.js'
import { drive, killGuests } from './engine.js'
import { sharedByTwo, twoChildren } from './merge-scenarios.js'
import { judge } from './oracle.js'
import { makeClock } from './ports.js'
import { makeWorld, type World } from './world.js'

let world: World
beforeEach(async () => {
  world = await makeWorld(makeClock())
})
afterEach(async () => {
  await killGuests(world.dir)
  await world.destroy()
})

const quietly = { operation: 'merge-layer', fault: { kind: 'none' }, reconciles: false } as const

describe('a layer whose only child is read by two running servers', { timeout: 120_000 }, () => {
  it('is left as it is, by a job that ends, says why and holds nothing', async () => {
    const { layerId } = await sharedByTwo(world)
    await drive(world, quietly)
    expect(await world.db.read.layers.find(ANY, layerId)).toMatchObject({ state: 'sealed' })
    const [job, ...more] = await world.db.read.jobs.list(ANY, { where: { operation: { is: mergeLayer.name } } })
    expect(more).toEqual([])
    expect(job?.state).toBe('done')
    expect(await world.db.read.jobs.locks(job?.id ?? '')).toEqual([])
    const steps = await world.db.read.jobs.steps(job?.id ?? '')
    expect(steps.find((step) => step.name === 'mark-merging')?.facts).toEqual({
      deferred: 'the layer above it is in use by several running servers',
    })
  })

  it('is merged as soon as one of them stops, without waiting for the reconciler', async () => {
    const { layerId, volumes, servers } = await sharedByTwo(world)
    await drive(world, quietly)
    await world.enqueue(stopServer, { serverId: servers[1], diskIds: [volumes[1].diskId], graceMs: 0 })
    await drive(world, quietly)
    expect(await world.db.read.layers.find(ANY, layerId)).toBeUndefined()
    expect(await judge(world)).toEqual([])
  })
})

describe('a layer with two children, one in a running guest and one at rest', { timeout: 120_000 }, () => {
  it('is merged into each where that is asked for, and every other promise reads as before', async () => {
    const { volume, snapshotId } = await twoChildren(world)
    await world.enqueue(deleteSnapshot, { snapshotId, children: 'each' })
    await drive(world, quietly)
    expect(await world.db.read.layers.find(ANY, volume.layerIds[1] ?? '')).toBeUndefined()
    expect(await judge(world)).toEqual([])
  })

  it('stays, shared, where it is not', async () => {
    const { volume, snapshotId } = await twoChildren(world)
    await world.enqueue(deleteSnapshot, { snapshotId, children: 'share' })
    await drive(world, quietly)
    expect(await world.db.read.layers.find(ANY, volume.layerIds[1] ?? '')).toMatchObject({ state: 'sealed' })
    expect(await judge(world)).toEqual([])
  })
})
