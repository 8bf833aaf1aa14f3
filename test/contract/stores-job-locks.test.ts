/** Who may run: the lock queue as tables of cases, claims by many at once. */
import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import type { Lock } from '../../src/domain/operation.js'
import type { Claim, Database } from '../../src/ports/stores.js'
import { ANY } from '../../src/ports/stores.js'
import { describeOnEachDatabase, type TestDatabase } from '../support/databases.js'
import { operation } from '../support/rows.js'

const origin = { projectId: 'p', userId: 'u', requestId: 'req-1' }
const NOW = 1_000_000

/** One queue of its own: jobs by letter, locks made unique by the host's id. */
function bench(database: () => TestDatabase) {
  const hostId = randomUUID()
  const ids = new Map<string, string>()
  const name = (id: string | undefined): string | undefined => [...ids].find(([, known]) => known === id)?.[0]
  const locksOf = (text: string): Lock[] => [...text].map((letter): Lock => `chain:${hostId}-${letter}`)
  const claim = async (options: { now?: number; workerId?: string; db?: Database; leaseFor?: number } = {}): Promise<Claim | undefined> => {
    const { now = NOW, workerId = 'w', db = database().db, leaseFor = 1000 } = options
    return await db.transaction((s) => s.jobs.claim({ hostId, workerId, now, leaseFor, except: [] }))
  }
  return {
    hostId,
    name,
    locksOf,
    id: (letter: string): string => ids.get(letter) ?? '',
    claim,
    async enqueue(letter: string, locks: string, options: { preemptible?: boolean; notBefore?: number } = {}): Promise<void> {
      const { preemptible = false, notBefore = 0 } = options
      const id = await database().db.transaction((s) =>
        s.jobs.enqueue(operation({ preemptible }), { locks: locksOf(locks) }, { hostId, origin, notBefore }),
      )
      ids.set(letter, id)
    },
    /** Letters of all that can be claimed now, in order; they stay claimed. */
    async claimAll(now = NOW): Promise<string> {
      let letters = ''
      for (let found = await claim({ now }); found !== undefined; found = await claim({ now })) letters += name(found.job.id)
      return letters
    },
  }
}

describeOnEachDatabase('the lock queue', (database) => {
  it.each([
    [
      'runs jobs without common locks side by side',
      [
        ['A', 'x'],
        ['B', 'y'],
        ['C', ''],
      ],
      'ABC',
    ],
    [
      'runs the oldest of those that want one lock',
      [
        ['A', 'x'],
        ['B', 'x'],
        ['C', 'x'],
      ],
      'A',
    ],
    [
      'makes a job wait for the oldest of every lock',
      [
        ['A', 'x'],
        ['B', 'xy'],
        ['C', 'y'],
      ],
      'A',
    ],
    [
      'lets the unrelated pass a waiting one',
      [
        ['A', 'x'],
        ['B', 'xy'],
        ['C', 'z'],
      ],
      'AC',
    ],
    [
      'puts who makes way behind everyone',
      [
        ['a', 'x'],
        ['B', 'x'],
      ],
      'B',
    ],
    [
      'orders those who make way by age',
      [
        ['a', 'x'],
        ['b', 'x'],
        ['c', 'y'],
      ],
      'ac',
    ],
    [
      'lets who makes way run where nobody else waits',
      [
        ['a', 'xy'],
        ['B', 'z'],
      ],
      'aB',
    ],
    [
      'is not confused by a lock named twice',
      [
        ['A', 'xx'],
        ['B', 'x'],
      ],
      'A',
    ],
  ] as [string, [string, string][], string][])('%s', async (_, jobs, expected) => {
    const b = bench(database)
    for (const [letter, locks] of jobs) await b.enqueue(letter, locks, { preemptible: letter === letter.toLowerCase() })
    expect(await b.claimAll()).toBe(expected)
  })

  it('hands a lock on in order of acceptance', async () => {
    const b = bench(database)
    for (const letter of ['A', 'B', 'C', 'D']) await b.enqueue(letter, letter === 'D' ? 'y' : 'xy')
    let order = ''
    for (let found = await b.claim(); found !== undefined; found = await b.claim()) {
      order += b.name(found.job.id)
      const { lease } = found
      await database().db.transaction((s) => s.jobs.settle(lease, 'done', null))
    }
    expect(order).toBe('ABCD')
  })

  it('keeps the locks of a job that needs attention', async () => {
    const b = bench(database)
    await b.enqueue('A', 'x')
    await b.enqueue('B', 'x')
    const found = await b.claim()
    await database().db.transaction((s) => s.jobs.settle((found as Claim).lease, 'needs_attention', { message: 'm', detail: 'd' }))
    expect(await b.claimAll()).toBe('')
    expect(await database().db.read.jobs.locks(b.id('A'))).toEqual(b.locksOf('x'))
    expect((await database().db.read.jobs.holder(b.locksOf('x')[0] as Lock))?.id).toBe(b.id('A'))
  })

  it('names the job that holds a lock, also where an older one stands in its queue', async () => {
    const b = bench(database)
    await b.enqueue('m', 'x', { preemptible: true, notBefore: NOW + 10 })
    await b.enqueue('B', 'x')
    await b.claim()
    expect((await database().db.read.jobs.holder(b.locksOf('x')[0] as Lock))?.id).toBe(b.id('B'))
  })

  it('lets others pass a job whose time has not come, until it has started once', async () => {
    const b = bench(database)
    await b.enqueue('A', 'x', { notBefore: NOW + 10 })
    await b.enqueue('B', 'x')
    const first = (await b.claim()) as Claim
    expect(b.name(first.job.id)).toBe('B')
    const { db } = database()
    await db.transaction((s) => s.jobs.journal(first.lease, [{ name: 'one', kind: 'step', ordinal: 0, state: 'started' }]))
    await db.transaction((s) => s.jobs.requeue(first.lease, { notBefore: NOW + 100 }))
    // Half done: neither an older nor a younger job may touch what it holds.
    await b.enqueue('C', 'x')
    expect(await b.claimAll(NOW + 50)).toBe('')
    expect(await b.claimAll(NOW + 200)).toBe('B')
  })

  it('lets others pass a job that went back without having done anything', async () => {
    const b = bench(database)
    await b.enqueue('A', 'x')
    await b.enqueue('B', 'x')
    const first = (await b.claim()) as Claim
    await database().db.transaction((s) => s.jobs.requeue(first.lease, { notBefore: NOW + 100 }))
    expect(await b.claimAll(NOW + 50)).toBe('B')
  })

  it('asks a running job that makes way to do so, once another waits for its lock', async () => {
    const b = bench(database)
    const { db } = database()
    await b.enqueue('m', 'xy', { preemptible: true })
    const merge = (await b.claim()) as Claim
    await b.enqueue('n', 'x', { preemptible: true })
    expect(await b.claim()).toBeUndefined()
    expect((await db.read.jobs.flags(merge.job.id))?.yieldRequested).toBe(false)
    await b.enqueue('S', 'y', { notBefore: NOW + 10 })
    await b.claim()
    expect((await db.read.jobs.flags(merge.job.id))?.yieldRequested).toBe(false)
    expect(await b.claim({ now: NOW + 10 })).toBeUndefined()
    expect((await db.read.jobs.flags(merge.job.id))?.yieldRequested).toBe(true)
    await db.transaction((s) => s.jobs.journal(merge.lease, [{ name: 'copy', kind: 'step', ordinal: 0, state: 'started' }]))
    await db.transaction((s) => s.jobs.requeue(merge.lease, { notBefore: NOW, input: { fresh: 1 }, locks: b.locksOf('yz') }))
    // Its old lock x is free, its journal begins anew, and older as it is, it stands behind S.
    const other = (await b.claim({ now: NOW + 10 })) as Claim
    expect(b.name(other.job.id)).toBe('n')
    const snapshot = (await b.claim({ now: NOW + 10 })) as Claim
    expect(b.name(snapshot.job.id)).toBe('S')
    expect(await b.claim({ now: NOW + 10 })).toBeUndefined()
    await db.transaction((s) => s.jobs.settle(snapshot.lease, 'done', null))
    const again = (await b.claim({ now: NOW + 10 })) as Claim
    expect(again).toMatchObject({ job: { id: merge.job.id, input: { fresh: 1 }, yieldRequested: false, attempts: 2 }, journal: [] })
  })

  it('does not let a job that is taken over wait for those that wait for it', async () => {
    const b = bench(database)
    await b.enqueue('m', 'x', { preemptible: true })
    const merge = (await b.claim({ leaseFor: 10 })) as Claim
    await b.enqueue('S', 'x')
    const next = (await b.claim({ now: NOW + 20, workerId: 'w2' })) as Claim & { expiredOwner: string | null }
    expect(next).toMatchObject({ job: { id: merge.job.id }, expiredOwner: 'w', lease: { token: merge.lease.token + 1 } })
  })

  it('gives a job to the host that owns its disks and to no other', async () => {
    const b = bench(database)
    await b.enqueue('A', 'x')
    const elsewhere = await database().db.transaction((s) =>
      s.jobs.claim({ hostId: 'another', workerId: 'w', now: NOW, leaseFor: 1, except: [] }),
    )
    expect(elsewhere).toBeUndefined()
    expect(await b.claimAll()).toBe('A')
  })

  it('passes over the jobs a worker already runs', async () => {
    const b = bench(database)
    await b.enqueue('A', 'x')
    await b.enqueue('B', 'y')
    const found = await database().db.transaction((s) =>
      s.jobs.claim({ hostId: b.hostId, workerId: 'w', now: NOW, leaseFor: 1, except: [b.id('A')] }),
    )
    expect(b.name(found?.job.id)).toBe('B')
  })

  it('never gives one lock to two of many claimers on connections of their own', async () => {
    const b = bench(database)
    const { open, db } = database()
    const total = 40
    for (let i = 0; i < total; i++) await b.enqueue(`${i}`, ['x', 'y', 'z', 'xy', 'yz'][i % 5] as string)
    const holders = new Set<string>()
    const order: string[] = []
    let overlaps = 0
    const worker = async (own: Database, workerId: string): Promise<void> => {
      while (order.length < total) {
        const found = await b.claim({ db: own, workerId, leaseFor: 1e12 })
        if (found === undefined) {
          await new Promise((resolve) => setImmediate(resolve))
          continue
        }
        const locks = (found.job.input as { locks: string[] }).locks
        for (const lock of locks) {
          if (holders.has(lock)) overlaps++
          holders.add(lock)
        }
        order.push(found.job.id)
        await own.transaction((s) => s.jobs.journal(found.lease, [{ name: 'one', kind: 'step', ordinal: 0, state: 'done' }]))
        for (const lock of locks) holders.delete(lock)
        await own.transaction((s) => s.jobs.settle(found.lease, 'done', null))
      }
    }
    const workers = await Promise.all(Array.from({ length: 6 }, () => open()))
    await Promise.all(workers.map((own, i) => worker(own, `w${i}`)))
    expect(overlaps).toBe(0)
    expect(new Set(order).size).toBe(total)
    const jobs = await db.read.jobs.list(ANY, { where: { hostId: { is: b.hostId } } })
    expect(jobs.map((j) => `${j.state} ${j.attempts}`)).toEqual(Array.from({ length: total }, () => 'done 1'))
  })
})
