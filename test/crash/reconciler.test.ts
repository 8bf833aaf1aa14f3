/** What the reconciler leaves alone. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ANY } from '../../src/ports/stores.js'
import { createReconciler } from '../../src/worker/reconciler.js'
import { incarnate, makeClock } from './ports.js'
import { makeWorld, type World } from './world.js'

let world: World
beforeEach(async () => {
  world = await makeWorld(makeClock())
})
afterEach(() => world.destroy())

it('does not give up an upload that takes longer than an hour: whether its bytes still come is seen in its staging file', async () => {
  const imageId = await world.image('saving')
  const life = await incarnate(world, 'honest')
  try {
    world.clock.advance(2 * 3600)
    await createReconciler({ ports: life.ports, doorbell: { ring: () => {} }, log: { info: () => {}, warn: () => {} } }).sweep()
    expect((await world.db.read.images.find(ANY, imageId))?.status).toBe('saving')
  } finally {
    await life.die()
  }
})

it('asks for a merge that is put off again and again ever more rarely, but at once when there is more room', async () => {
  await world.volume([new Map([[0, 1]]), new Map([[1, 1]])])
  const life = await incarnate(world, 'honest')
  let free = 2 ** 30
  const ports = { ...life.ports, files: { ...life.ports.files, free: async () => free } }
  const log = { info: () => {}, warn: () => {} }
  const reconciler = createReconciler({ ports, doorbell: { ring: () => {} }, log })
  /** Whatever is asked for ends at once, without effect. */
  const putOff = async (): Promise<number> =>
    await world.db.transaction(async (s) => {
      const claim = await s.jobs.claim({ hostId: world.hostId, workerId: 'w', now: world.clock.now(), leaseFor: 1e9, except: [] })
      if (claim !== undefined) await s.jobs.settle(claim.lease, 'done', null)
      return claim?.job.operation === 'merge-layer' ? 1 : 0
    })
  const sweepFor = async (minutes: number): Promise<number> => {
    let merges = 0
    for (let minute = 0; minute < minutes; minute++) {
      await reconciler.sweep()
      merges += await putOff()
      world.clock.advance(60)
    }
    return merges
  }
  try {
    expect(await sweepFor(8)).toBe(4)
    expect(await sweepFor(24)).toBeLessThanOrEqual(2)
    free += 2 ** 28
    expect(await sweepFor(1)).toBe(1)
    expect(await sweepFor(5)).toBe(0)
  } finally {
    await life.die()
  }
})
