/** A job's life under its lease: fenced writes, back-off, undoing, retry, cancel. */
import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import type { Lease } from '../../src/domain/job.js'
import { ANY, type Claim, LeaseLost, type Stores } from '../../src/ports/stores.js'
import { describeOnEachDatabase } from '../support/databases.js'
import { operation } from '../support/rows.js'

const origin = { projectId: 'p', userId: 'u', requestId: 'req-1' }
const NOW = Date.now() * 1000
const error = { message: 'for the user', detail: 'for the operator' }

describeOnEachDatabase('a job', (database) => {
  const job = async (preemptible = false): Promise<{ id: string; claim(at?: number, workerId?: string): Promise<Claim | undefined> }> => {
    const hostId = randomUUID()
    const { db } = database()
    const options = { hostId, origin, locks: [`power:${hostId}`] as const }
    const id = await db.transaction((s) =>
      s.jobs.enqueue(operation({ preemptible, resource: hostId }), { locks: [`chain:${hostId}`] }, options),
    )
    return {
      id,
      claim: async (at = NOW, workerId = 'w') =>
        await db.transaction((s) => s.jobs.claim({ hostId, workerId, now: at, leaseFor: 1000, except: [] })),
    }
  }
  const started = { name: 'one', kind: 'step', ordinal: 0, state: 'started' } as const
  const find = async (id: string) => await database().db.read.jobs.find(ANY, id)

  it('is listed, found by its resource and names its locks until it ends', async () => {
    const { db } = database()
    const { id, claim } = await job()
    const found = await find(id)
    expect(found).toMatchObject({
      state: 'queued',
      leaseToken: 0,
      attempts: 0,
      startedAt: null,
      progress: null,
      operation: 'test-operation',
    })
    expect((await db.read.jobs.unfinished('volume', found?.resourceId ?? '')).map((j) => j.id)).toEqual([id])
    expect(await db.read.jobs.locks(id)).toHaveLength(2)
    expect(await db.read.jobs.find({ projectId: 'other' }, id)).toBeUndefined()
    expect((await db.read.jobs.list({ projectId: 'p' }, { limit: 1 })).map((j) => j.id)).toEqual([id])
    const { lease } = (await claim()) as Claim
    await db.transaction((s) => s.jobs.settle(lease, 'failed', error))
    expect(await find(id)).toMatchObject({ state: 'failed', error, leaseOwner: null, leaseExpiresAt: null, leaseToken: 1 })
    expect(await db.read.jobs.unfinished('volume', found?.resourceId ?? '')).toEqual([])
    expect(await db.read.jobs.locks(id)).toEqual([])
    expect((await find(id))?.endedAt).toBeGreaterThan(0)
  })

  const writes: [string, (s: Stores, lease: Lease) => Promise<void>][] = [
    ['journal', (s, lease) => s.jobs.journal(lease, [{ ...started, state: 'done' }])],
    ['state', (s, lease) => s.jobs.state(lease, 'undoing')],
    ['progress', (s, lease) => s.jobs.progress(lease, { bytesDone: 9, bytesTotal: 9, rate: 9, updatedAt: 9 })],
    ['settle', (s, lease) => s.jobs.settle(lease, 'done', null)],
    ['requeue', (s, lease) => s.jobs.requeue(lease, { notBefore: 5, error, input: {}, locks: [] })],
  ]
  it.each(writes)('refuses a stale worker: %s changes nothing', async (_, write) => {
    const { db } = database()
    const { id, claim } = await job()
    const stale = ((await claim()) as Claim).lease
    await db.transaction((s) => s.jobs.journal(stale, [started]))
    const taken = (await claim(NOW + 2000, 'w2')) as Claim & { expiredOwner: string | null }
    expect(taken.expiredOwner).toBe('w')
    expect(taken.journal.map((r) => [r.name, r.state])).toEqual([['one', 'started']])
    const before = [await find(id), await db.read.jobs.steps(id), await db.read.jobs.locks(id)]
    const forged = [stale, { ...taken.lease, workerId: 'w' }, { ...stale, workerId: 'w2' }]
    for (const lease of forged) {
      // Other rows of the same transaction fall with it.
      const role = randomUUID()
      const attempt = db.transaction(async (s) => {
        await s.roles.insert({ id: role, name: role })
        await write(s, lease)
      })
      await expect(attempt).rejects.toThrow(LeaseLost)
      expect(await db.read.roles.find(ANY, role)).toBeUndefined()
    }
    expect([await find(id), await db.read.jobs.steps(id), await db.read.jobs.locks(id)]).toEqual(before)
    await db.transaction((s) => write(s, taken.lease))
  })

  it('lets nobody write once it ended', async () => {
    const { db } = database()
    const { claim } = await job()
    const { lease } = (await claim()) as Claim
    await db.transaction((s) => s.jobs.settle(lease, 'done', null))
    await expect(db.transaction((s) => s.jobs.journal(lease, [started]))).rejects.toThrow(LeaseLost)
    expect(await claim(NOW + 1e9)).toBeUndefined()
  })

  it('keeps a journal by step: times started, facts learnt, last error', async () => {
    const { db } = database()
    const { id, claim } = await job()
    const { lease } = (await claim()) as Claim
    const write = async (...entries: Parameters<Stores['jobs']['journal']>[1]): Promise<void> =>
      await db.transaction((s) => s.jobs.journal(lease, entries))
    await write(started)
    await write({ ...started, error: 'first try' })
    await write({ ...started, state: 'done', facts: { bytes: 2 ** 40, name: null } }, { ...started, name: 'two', ordinal: 1 })
    await write({ ...started, name: 'guard', kind: 'guard', ordinal: 2 })
    await write({ ...started, state: 'undone', facts: {} })
    expect(await db.read.jobs.steps(id)).toMatchObject([
      { name: 'one', kind: 'step', state: 'undone', attempts: 2, facts: { bytes: 2 ** 40, name: null }, error: 'first try', jobId: id },
      { name: 'two', state: 'started', attempts: 1, facts: {}, error: null, endedAt: null },
      { name: 'guard', kind: 'guard' },
    ])
  })

  it('keeps its lease while it is renewed, and loses it when not', async () => {
    const { db } = database()
    const [a, b] = [await job(), await job()]
    const workerId = randomUUID()
    await a.claim(NOW, workerId)
    await b.claim(NOW, workerId)
    expect(await db.transaction((s) => s.jobs.renew(workerId, NOW + 9000))).toEqual([a.id, b.id])
    expect(await a.claim(NOW + 8999, 'w2')).toBeUndefined()
    expect((await a.claim(NOW + 9000, 'w2'))?.job.leaseOwner).toBe('w2')
    expect(await db.transaction((s) => s.jobs.renew(workerId, NOW + 99_000))).toEqual([b.id])
  })

  it('runs out for a job its worker does not name any more', async () => {
    const { db } = database()
    const [a, b] = [await job(), await job()]
    const workerId = randomUUID()
    await a.claim(NOW, workerId)
    await b.claim(NOW, workerId)
    const before = (await find(a.id))?.leaseExpiresAt
    expect(await db.transaction((s) => s.jobs.renew(workerId, NOW + 99_000, [b.id]))).toEqual([a.id, b.id])
    expect((await find(a.id))?.leaseExpiresAt).toBe(before)
    expect((await find(b.id))?.leaseExpiresAt).toBe(NOW + 99_000)
    await db.transaction((s) => s.jobs.renew(workerId, NOW + 199_000, []))
    expect((await find(b.id))?.leaseExpiresAt).toBe(NOW + 99_000)
  })

  it('goes back to the queue with its journal and is due at its time', async () => {
    const { db } = database()
    const { id, claim } = await job()
    const { lease } = (await claim()) as Claim
    await db.transaction((s) => s.jobs.journal(lease, [started]))
    await db.transaction((s) => s.jobs.requeue(lease, { notBefore: NOW + 500, error }))
    expect(await find(id)).toMatchObject({ state: 'queued', leaseOwner: null, error, notBefore: NOW + 500 })
    expect(await claim(NOW + 499)).toBeUndefined()
    expect(await claim(NOW + 500)).toMatchObject({ job: { attempts: 2, state: 'running' }, journal: [{ name: 'one' }], expiredOwner: null })
  })

  it('stays undoing when its undo is put off', async () => {
    const { db } = database()
    const { claim } = await job()
    const { lease } = (await claim()) as Claim
    await db.transaction((s) => s.jobs.state(lease, 'undoing'))
    await db.transaction((s) => s.jobs.requeue(lease, { notBefore: NOW + 500, error }))
    expect(await claim(NOW + 499)).toBeUndefined()
    expect(await claim(NOW + 500, 'w2')).toMatchObject({ job: { state: 'undoing', error }, expiredOwner: null })
  })

  it('is retried from attention in the direction it went, and from back-off, but never once finished', async () => {
    const { db } = database()
    const retry = async (id: string, scope: Parameters<Stores['jobs']['retry']>[0] = ANY): Promise<boolean> =>
      await db.transaction((s) => s.jobs.retry(scope, id))
    for (const state of ['done', 'undone'] as const) {
      const { id, claim } = await job()
      const { lease } = (await claim()) as Claim
      expect(await retry(id)).toBe(false)
      await db.transaction((s) => s.jobs.journal(lease, [{ ...started, state }]))
      await db.transaction((s) => s.jobs.settle(lease, 'needs_attention', error))
      expect(await claim(NOW + 1e9)).toBeUndefined()
      expect(await retry(id, { projectId: 'other' })).toBe(false)
      expect(await retry(id)).toBe(true)
      expect(await claim()).toMatchObject({ job: { state: state === 'done' ? 'running' : 'undoing', attempts: 1 }, journal: [{ state }] })
    }
    const waiting = await job()
    const { lease } = (await waiting.claim()) as Claim
    await db.transaction((s) => s.jobs.requeue(lease, { notBefore: NOW + 1e12 }))
    expect(await retry(waiting.id)).toBe(true)
    expect(await retry(waiting.id)).toBe(false)
    const again = (await waiting.claim()) as Claim
    await db.transaction((s) => s.jobs.settle(again.lease, 'failed', error))
    expect(await retry(waiting.id)).toBe(false)
  })

  it('that needs attention hears of a cancel: it goes on, to be undone where it can be', async () => {
    const { db } = database()
    const { id, claim } = await job()
    const { lease } = (await claim()) as Claim
    await db.transaction((s) => s.jobs.journal(lease, [started]))
    await db.transaction((s) => s.jobs.settle(lease, 'needs_attention', error))
    expect(await db.transaction((s) => s.jobs.requestCancel({ projectId: 'other' }, id))).toBe(false)
    expect(await db.transaction((s) => s.jobs.requestCancel(ANY, id))).toBe(true)
    expect(await claim()).toMatchObject({ job: { state: 'running', cancelRequested: true, attempts: 1 } })
  })

  it('hears of a cancel from its own project only, and not once it undoes or ended', async () => {
    const { db } = database()
    const { id, claim } = await job()
    const cancel = async (projectId: string): Promise<boolean> => await db.transaction((s) => s.jobs.requestCancel({ projectId }, id))
    expect(await cancel('other')).toBe(false)
    expect(await db.read.jobs.flags(id)).toEqual({ cancelRequested: false, yieldRequested: false })
    expect(await cancel('p')).toBe(true)
    const { lease, job: claimed } = (await claim()) as Claim
    expect(claimed.cancelRequested).toBe(true)
    await db.transaction((s) => s.jobs.state(lease, 'undoing'))
    expect(await cancel('p')).toBe(false)
    await db.transaction((s) => s.jobs.settle(lease, 'cancelled', null))
    expect(await cancel('p')).toBe(false)
    expect(await db.read.jobs.flags(randomUUID())).toBeUndefined()
  })
})
