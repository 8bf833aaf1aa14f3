/**
 * What a project has used is what there is: volumes are made, extended with success and without, retyped, deleted and reset
 * by an operator while limits go up and down, and after each the counters equal a recount of the rows.
 */
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { seedDatabase } from '../../db/seed.js'
import type { Caller } from '../../src/domain/caller.js'
import { DomainError } from '../../src/domain/errors.js'
import type { Lease } from '../../src/domain/job.js'
import { createVolume, type ExtendVolumeInput } from '../../src/domain/operations.js'
import { volumeAmounts } from '../../src/domain/quota.js'
import { deleteVolumeOperation } from '../../src/operations/delete-volume.js'
import { extendVolumeOperation } from '../../src/operations/extend-volume.js'
import { ANY, type Stores } from '../../src/ports/stores.js'
import { createVolumeService } from '../../src/services/volume/volumes.js'
import type { Journal } from '../../src/steps/step.js'
import { describeOnEachDatabase } from '../support/databases.js'
import { layerRow } from '../support/rows.js'

const EXTEND = extendVolumeOperation.descriptor.name
const TYPES = ['__DEFAULT__', 'gold'] as const
const clock = { now: () => Date.now() * 1000, monotonic: () => performance.now() * 1000, sleep: async () => {} }
const journalOf = (jobId: string): Journal => ({
  ...{ jobId, hostId: 'h', requestId: 'r', userId: 'u', projectId: 'p', now: clock.now() },
  ...{ facts: () => ({}), begun: () => true, fail: () => {}, recovered: () => false },
})

type Act =
  | { do: 'create'; size: number }
  | { do: 'extend'; which: number; by: number }
  | { do: 'end'; which: number; well: boolean }
  | { do: 'retype'; which: number; type: (typeof TYPES)[number] }
  | { do: 'reset' | 'delete'; which: number }
  | { do: 'limit'; resource: string; amount: number }
const which = fc.nat(4)
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant('create' as const), size: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('extend' as const), which, by: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('end' as const), which, well: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('retype' as const), which, type: fc.constantFrom(...TYPES) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('reset' as const, 'delete' as const), which }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('limit' as const),
      resource: fc.constantFrom('gigabytes', 'volumes', 'gigabytes_gold', 'gigabytes___DEFAULT__'),
      amount: fc.constantFrom(-1, 0, 1, 5, 20),
    }),
  },
)

describeOnEachDatabase('quotas of volumes', (database) => {
  beforeAll(async () => {
    const { db } = database()
    await seedDatabase(db, clock.now())
    const gold = { id: randomUUID(), name: 'gold', description: null, isPublic: true, extraSpecs: {}, createdAt: 0 }
    await db.transaction(async (s) => {
      await s.volumeTypes.insert(gold)
    })
  })

  it('are used as much as there is, whatever was extended, failed and limited in between', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 4, maxLength: 25 }), async (acts) => {
        const tenant = await makeTenant()
        await tenant.carryOut({ do: 'create', size: 1 })
        for (const one of acts) {
          await tenant.carryOut(one)
          await tenant.recount()
        }
      }),
      { numRuns: 15 },
    )
  })

  async function makeTenant() {
    const { db } = database()
    const [projectId, hostId] = [randomUUID(), randomUUID()]
    await db.transaction((s) => s.pools.insert({ id: hostId, hostId, name: 'default', path: '/p', isDefault: true, createdAt: 0 }))
    const caller: Caller = { userId: 'u', userName: 'u', projectId, projectName: 'p', roles: ['member'], isAdmin: true, requestId: 'r' }
    const service = createVolumeService({ db, doorbell: { ring: () => {} }, clock, settings: { hostId, availabilityZone: 'nova' } })
    const ids: string[] = []
    const leases = new Map<string, Lease>()
    const unfinished = async (stores: Stores, id: string, operation: string) =>
      (await stores.jobs.unfinished('volume', id)).filter((job) => job.operation === operation).sort((a, b) => a.seq - b.seq)
    const leaseOf = async (jobId: string): Promise<Lease> => {
      for (;;) {
        const known = leases.get(jobId)
        if (known !== undefined) return known
        const options = { hostId, workerId: 'w', now: clock.now() + 1e9, leaseFor: 1e12, except: [] }
        const found = await db.transaction((s) => s.jobs.claim(options))
        if (found === undefined) throw new Error(`job ${jobId} cannot be claimed`)
        leases.set(found.job.id, found.lease)
      }
    }
    /** The oldest job of this operation about a volume ends, as the worker ends it. */
    const end = async (id: string, operation: typeof extendVolumeOperation | typeof deleteVolumeOperation, well: boolean) => {
      const [job] = await unfinished(db.read, id, operation.descriptor.name)
      if (job === undefined) return
      const lease = await leaseOf(job.id)
      const input = job.input as ExtendVolumeInput
      const plan = operation.plan(input)
      await db.transaction(async (stores) => {
        if (well) await plan.settle(input, stores, journalOf(job.id))
        else await plan.abandon(input, stores, journalOf(job.id), { sentence: 'no', cancelled: false })
        await stores.jobs.settle(lease, well ? 'done' : 'failed', null)
      })
    }

    const carryOut = async (one: Act): Promise<void> => {
      try {
        await attempt(one)
      } catch (error) {
        if (!(error instanceof DomainError)) throw error
      }
    }
    const attempt = async (one: Act): Promise<void> => {
      const id = 'which' in one ? (ids[one.which % Math.max(1, ids.length)] ?? '') : ''
      if (one.do === 'limit') await db.transaction((s) => s.quotas.setLimits(projectId, { [one.resource]: one.amount }))
      if (one.do === 'create') await create(one.size)
      if (one.do === 'extend') {
        const volume = await db.read.volumes.find(ANY, id)
        await service.extendVolume(caller, id, (volume?.sizeGib ?? 0) + one.by, true)
      }
      if (one.do === 'end') await end(id, extendVolumeOperation, one.well)
      if (one.do === 'retype') await service.retypeVolume(caller, id, one.type)
      if (one.do === 'reset') await service.resetVolumeStatus(caller, id, 'available')
      if (one.do === 'delete') {
        await service.deleteVolume(caller, id, { force: false, cascade: false })
        while ((await unfinished(db.read, id, EXTEND)).length > 0) await end(id, extendVolumeOperation, false)
        await end(id, deleteVolumeOperation, true)
      }
    }
    async function create(sizeGib: number): Promise<void> {
      const request = { name: null, description: null, sizeGib, metadata: {}, volumeType: null, availabilityZone: null }
      const from = { imageRef: null, snapshotId: null, sourceVolumeId: null, unsupported: null, followsImageSnapshots: false }
      const volume = await service.createVolume(caller, { ...request, ...from }, (record) => record.volume)
      ids.push(volume.id)
      const [job] = await unfinished(db.read, volume.id, createVolume.name)
      const lease = await leaseOf(job?.id ?? '')
      await db.transaction(async (s) => {
        await s.jobs.settle(lease, 'done', null)
        const layer = layerRow({ poolId: hostId, projectId })
        await s.layers.insert(layer)
        await s.disks.update(volume.diskId, { topLayerId: layer.id })
        await s.volumes.transition(volume.id, ['creating'], { status: 'available' })
      })
    }

    async function recount(): Promise<void> {
      const types = await db.read.volumeTypes.list(ANY)
      const counted: Record<string, number> = {}
      for (const volume of await db.read.volumes.list({ projectId })) {
        // While one grows, its size is the one that was promised.
        const promised = (await unfinished(db.read, volume.id, EXTEND)).map((job) => (job.input as ExtendVolumeInput).sizeGib)
        const name = types.find((type) => type.id === volume.volumeTypeId)?.name ?? ''
        for (const [resource, amount] of Object.entries(volumeAmounts(name, Math.max(volume.sizeGib, ...promised))))
          counted[resource] = (counted[resource] ?? 0) + amount
      }
      const used = Object.entries(await db.read.quotas.usage(projectId)).filter(([, amount]) => amount !== 0)
      expect(Object.fromEntries(used)).toEqual(counted)
    }
    return { carryOut, recount }
  }
})
