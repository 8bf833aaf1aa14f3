/** An image that is deleted while it is being made, through the service, at each moment of its copy. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createImageStore } from '../../src/host/image-store.js'
import { ANY } from '../../src/ports/stores.js'
import { createImageService } from '../../src/services/image/images.js'
import { drive } from './engine.js'
import { judge } from './oracle.js'
import { makeClock } from './ports.js'
import { SCENARIOS } from './scenarios.js'
import { makeWorld, type World } from './world.js'

let world: World
beforeEach(async () => {
  world = await makeWorld(makeClock())
})
afterEach(() => world.destroy())

async function deleteImage(imageId: string): Promise<void> {
  const { projectId, userId, requestId } = world.origin()
  const service = createImageService({
    db: world.db,
    clock: world.clock,
    doorbell: { ring: () => {} },
    settings: { hostId: world.hostId, maxImageSize: 2 ** 40 },
    imageStore: createImageStore({ stagingDir: `${world.dir}/staging` }),
  })
  const caller = { projectId, userId, requestId, userName: 'u', projectName: 'p', roles: ['member'], isAdmin: false }
  await service.remove(caller, imageId)
}

describe('an image deleted during its copy', () => {
  it.each(['flatten-image:before-apply', 'flatten-image:after-done', 'hash-image:after-apply', 'before-settle'])(
    'at %s leaves no record, no bytes and no pin, and the volume as it was',
    async (moment) => {
      await SCENARIOS.find((one) => one.name === 'export-image, of a sealed layer')?.build(world)
      const [image] = await world.db.read.images.list(ANY)
      let struck = false
      const atGap = async (gap: string): Promise<void> => {
        if (gap !== moment || struck) return
        struck = true
        await deleteImage(image?.id ?? '')
      }
      await drive(world, { operation: 'export-image', fault: { kind: 'none' }, atGap })
      expect(struck).toBe(true)
      expect(await world.db.read.images.find(ANY, image?.id ?? '')).toBeUndefined()
      expect(await world.db.read.layers.count(ANY, { origin: { is: 'image' } })).toBe(0)
      expect((await world.db.read.volumes.list(ANY)).map((volume) => volume.status)).toEqual(['available'])
      expect(await judge(world)).toEqual([])
    },
  )
})
