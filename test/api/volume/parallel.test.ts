/** Requests at once, on both databases: all that fit are accepted, and quota and states hold whatever the order. */
import { randomUUID } from 'node:crypto'
import { beforeAll, expect, it } from 'vitest'
import { seedDatabase } from '../../../db/seed.js'
import type { Caller } from '../../../src/domain/caller.js'
import { systemClock } from '../../../src/host/clock.js'
import { ANY } from '../../../src/ports/stores.js'
import { createSnapshotService } from '../../../src/services/volume/snapshots.js'
import { createVolumeService } from '../../../src/services/volume/volumes.js'
import { describeOnEachDatabase } from '../../support/databases.js'

const BLANK = {
  name: null,
  description: null,
  metadata: {},
  volumeType: null,
  availabilityZone: null,
  imageRef: null,
  snapshotId: null,
  sourceVolumeId: null,
  unsupported: null,
  followsImageSnapshots: false,
}

describeOnEachDatabase('requests at once', (database) => {
  const caller = (): Caller => ({
    userId: 'u',
    userName: 'u',
    projectId: randomUUID(),
    projectName: 'p',
    roles: ['member'],
    isAdmin: false,
    requestId: `req-${randomUUID()}`,
  })
  const services = () => {
    const deps = {
      db: database().db,
      clock: systemClock,
      doorbell: { ring: () => {} },
      settings: { hostId: 'host-a', availabilityZone: 'nova' },
    }
    return { volumes: createVolumeService(deps), snapshots: createSnapshotService(deps) }
  }
  const available = async (who: Caller): Promise<string> => {
    const id = await services().volumes.createVolume(who, { ...BLANK, sizeGib: 1 }, ({ volume }) => volume.id)
    await database().db.transaction(async (stores) => {
      const diskId = (await stores.volumes.find(ANY, id))?.diskId ?? ''
      const [job] = await stores.jobs.unfinished('volume', id)
      if (job === undefined) throw new Error('no job makes the volume')
      const { layer } = job.input as { layer: { layerId: string } }
      await stores.layers.transition(layer.layerId, ['planned'], { state: 'top' })
      await stores.disks.update(diskId, { topLayerId: layer.layerId })
      await stores.volumes.transition(id, ['creating'], { status: 'available' })
    })
    return id
  }
  const outcomes = async (tries: Promise<unknown>[]) => {
    const settled = await Promise.allSettled(tries)
    return settled.map((one) => (one.status === 'fulfilled' ? 'accepted' : String((one.reason as Error).message)))
  }

  beforeAll(async () => {
    const now = systemClock.now()
    await seedDatabase(database().db, now)
    await database().db.transaction(async (stores) => {
      await stores.hosts.insert({ id: 'host-a', state: 'up', address: '', bootId: 'b', capabilities: {}, heartbeatAt: now, createdAt: now })
      await stores.pools.insert({ id: randomUUID(), hostId: 'host-a', name: 'default', path: '/pool', isDefault: true, createdAt: now })
    })
  })

  it('for ten clones and ten snapshots of one volume are all accepted', async () => {
    const who = caller()
    const sourceVolumeId = await available(who)
    const clones = Array.from({ length: 10 }, () =>
      services().volumes.createVolume(who, { ...BLANK, sizeGib: null, sourceVolumeId }, ({ volume }) => volume.id),
    )
    const request = { volumeId: sourceVolumeId, name: null, description: null, metadata: {}, alsoInUse: false }
    const snapshots = Array.from({ length: 10 }, () => services().snapshots.createSnapshot(who, request, ({ id }) => id))
    expect(await outcomes([...clones, ...snapshots])).toEqual(Array(20).fill('accepted'))
  })

  it('never take more than the quota', async () => {
    const who = caller()
    await database().db.transaction((stores) => stores.quotas.setLimits(who.projectId, { volumes: 3 }))
    const tries = Array.from({ length: 8 }, () => services().volumes.createVolume(who, { ...BLANK, sizeGib: 1 }, ({ volume }) => volume.id))
    expect((await outcomes(tries)).filter((outcome) => outcome === 'accepted')).toHaveLength(3)
    expect(await database().db.read.volumes.count({ projectId: who.projectId })).toBe(3)
  })

  it('to delete a volume and to take a snapshot of it agree on one of them', async () => {
    for (let round = 0; round < 5; round++) {
      const who = caller()
      const volumeId = await available(who)
      const request = { volumeId, name: null, description: null, metadata: {}, alsoInUse: false }
      const [deletion, snapshot] = await outcomes([
        services().volumes.deleteVolume(who, volumeId, { force: false, cascade: false }),
        services().snapshots.createSnapshot(who, request, ({ id }) => id),
      ])
      expect([deletion, snapshot].filter((outcome) => outcome === 'accepted')).toHaveLength(1)
    }
  })

  it('keeps every metadata key, though each request adds only its own', async () => {
    const who = caller()
    const id = await available(who)
    const keys = Array.from({ length: 8 }, (_, index) => `key-${index}`)
    const { volumes } = services()
    await Promise.all(keys.map((key) => volumes.setVolumeMetadata(who, id, { metadata: { [key]: 'here' }, merge: true }, () => undefined)))
    expect(Object.keys(await volumes.showVolumeMetadata(who, id)).toSorted()).toEqual(keys)
  })
})
