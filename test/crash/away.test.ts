/** A pool that is away for a while: unmounted, renamed. What wants it waits, and gives up only in the end. */
import { rename } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createVolume } from '../../src/domain/operations.js'
import { ANY } from '../../src/ports/stores.js'
import { drive, killGuests } from './engine.js'
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

async function wanted(): Promise<string> {
  const { volumeId, diskId } = await world.volume([], { status: 'creating' })
  const layer = { diskId, layerId: await world.planned(), parentLayerId: null, virtualSize: 8 * 2 ** 20 }
  await world.enqueue(createVolume, { volumeId, layer })
  return volumeId
}

describe('a volume that is to be made in a pool that is away', { timeout: 120_000 }, () => {
  it('is made when the pool is back', async () => {
    await rename(world.pool, `${world.pool}.away`)
    const volumeId = await wanted()
    let met = 0
    await drive(world, {
      operation: createVolume.name,
      fault: { kind: 'none' },
      atGap: async (gap) => {
        if (gap === 'create-layers:before-apply' && ++met === 2) await rename(`${world.pool}.away`, world.pool)
      },
    })
    expect(met).toBe(2)
    expect(await world.db.read.volumes.find(ANY, volumeId)).toMatchObject({ status: 'available' })
    expect(await judge(world)).toEqual([])
  })

  it('is in error after two minutes, and its user is told why', async () => {
    await rename(world.pool, `${world.pool}.away`)
    const volumeId = await wanted()
    const { gaps } = await drive(world, { operation: createVolume.name, fault: { kind: 'none' } })
    await rename(`${world.pool}.away`, world.pool)
    expect(gaps.filter((gap) => gap === 'create-layers:before-apply').length).toBeGreaterThan(1)
    expect(await world.db.read.volumes.find(ANY, volumeId)).toMatchObject({ status: 'error' })
    const [message] = await world.db.read.messages.list(ANY, { where: { resourceId: { is: volumeId } } })
    expect(message?.userMessage).toContain('The storage pool is not available.')
    const [job] = await world.db.read.jobs.list(ANY, { where: { resourceId: { is: volumeId } } })
    expect(job?.error).toMatchObject({ message: 'The storage pool is not available.', detail: expect.stringContaining('ENOENT') })
    expect(job?.error?.message).not.toContain(world.dir)
  })
})
