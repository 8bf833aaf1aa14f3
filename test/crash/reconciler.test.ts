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
