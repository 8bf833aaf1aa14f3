/**
 * A source that is just being deleted gives no new volume: the deletion stands uncommitted while the request arrives, and
 * whoever comes second must see it. Were both accepted, the bytes would be dropped from under the volume.
 */
import { randomUUID } from 'node:crypto'
import { beforeAll, expect, it } from 'vitest'
import { seedDatabase } from '../../db/seed.js'
import type { Caller } from '../../src/domain/caller.js'
import type { Stores } from '../../src/ports/stores.js'
import { resolveSource } from '../../src/services/volume/volume-source.js'
import { createVolumeService } from '../../src/services/volume/volumes.js'
import { describeOnEachDatabase } from '../support/databases.js'
import { imageRow, layerRow, snapshotRow } from '../support/rows.js'

const NOW = Date.now() * 1000
const clock = { now: () => NOW, monotonic: () => NOW, sleep: async () => {} }
const ASKED = {
  ...{ name: null, description: null, sizeGib: 1, metadata: {}, volumeType: null, availabilityZone: null },
  ...{ imageRef: null, snapshotId: null, sourceVolumeId: null, unsupported: null, followsImageSnapshots: true },
}

describeOnEachDatabase('the source of a new volume', (database) => {
  const projectId = randomUUID()
  const caller: Caller = { userId: 'u', userName: 'u', projectId, projectName: 'p', roles: ['member'], isAdmin: false, requestId: 'r' }
  beforeAll(async () => {
    const { db } = database()
    await seedDatabase(db, NOW)
    await db.transaction((s) => s.pools.insert({ id: 'pool', hostId: 'h', name: 'default', path: '/p', isDefault: true, createdAt: 0 }))
  })

  async function sources() {
    const layer = layerRow({ projectId, poolId: 'pool', virtualSize: 1024 ** 3 })
    const snapshot = snapshotRow({ projectId, layerId: layer.id, status: 'available' })
    const devices = [{ source_type: 'snapshot', boot_index: 0, snapshot_id: snapshot.id }]
    const pointing = imageRow({ projectId, size: 0, virtualSize: null, properties: { block_device_mapping: JSON.stringify(devices) } })
    const plain = imageRow({ projectId, name: `image-${randomUUID()}`, layerId: layer.id })
    await database().db.transaction(async (s) => {
      await s.layers.insert(layer)
      await s.snapshots.insert(snapshot)
      await s.images.insert(pointing)
      await s.images.insert(plain)
    })
    return { snapshot, pointing, plain }
  }

  /** What becomes of a request that meets a deletion which has written but not committed. */
  async function meeting(deletion: (stores: Stores) => Promise<unknown>, request: () => Promise<unknown>): Promise<'accepted' | 'refused'> {
    const other = await database().open()
    let outcome: Promise<'accepted' | 'refused'> | undefined
    await other.transaction(async (stores) => {
      await deletion(stores)
      outcome ??= request().then(
        () => 'accepted' as const,
        () => 'refused' as const,
      )
      // It is answered too soon, or it waits for us: then it goes on when we have committed.
      await Promise.race([outcome, new Promise((resolve) => setTimeout(resolve, 400))])
    })
    return (await outcome) ?? 'refused'
  }
  const create = (from: object): Promise<unknown> => {
    const deps = { db: database().db, doorbell: { ring: () => {} }, clock, settings: { hostId: 'h', availabilityZone: 'nova' } }
    return createVolumeService(deps).createVolume(caller, { ...ASKED, ...from }, ({ volume }) => volume.id)
  }

  it('is no snapshot that is being deleted while an image that points at it is asked for', async () => {
    const { snapshot, pointing } = await sources()
    const deletion = (s: Stores) => s.snapshots.transition(snapshot.id, ['available'], { status: 'deleting' })
    expect(await meeting(deletion, () => create({ imageRef: pointing.id }))).toBe('refused')
  })

  it('is no image that is being deleted, though it was asked for by its name', async () => {
    const { plain } = await sources()
    const deletion = (s: Stores) => s.images.transition(plain.id, ['active'], { status: 'deleted' })
    expect(await meeting(deletion, () => create({ imageRef: plain.name }))).toBe('refused')
  })

  it.each(['snapshotId', 'imageRef'] as const)(
    'is none that is being deleted when a new server asks for a disk of it (%s)',
    async (kind) => {
      const { snapshot, plain } = await sources()
      const deletion = (s: Stores) =>
        kind === 'snapshotId'
          ? s.snapshots.transition(snapshot.id, ['available'], { status: 'deleting' })
          : s.images.transition(plain.id, ['active'], { status: 'deleted' })
      const from = { [kind]: kind === 'snapshotId' ? snapshot.id : plain.id }
      const request = () => database().db.transaction((s) => resolveSource(s, caller, { ...ASKED, followsImageSnapshots: false, ...from }))
      expect(await meeting(deletion, request)).toBe('refused')
    },
  )

  it('is each of them as long as nobody deletes it', async () => {
    const { snapshot, pointing, plain } = await sources()
    for (const from of [{ imageRef: pointing.id }, { imageRef: plain.name }, { imageRef: plain.id }, { snapshotId: snapshot.id }])
      expect(typeof (await create(from))).toBe('string')
  })
})
