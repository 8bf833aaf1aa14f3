/** The runner's laws on steps that only write down what was asked of them. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NeedsAttention, refused, unavailable, unknown } from '../../src/domain/errors.js'
import type { Descriptor } from '../../src/domain/operation.js'
import { REASONS } from '../../src/domain/reasons.js'
import { ANY } from '../../src/ports/stores.js'
import type { Observed, Plan, Step } from '../../src/steps/step.js'
import { Yielded } from '../../src/steps/step.js'
import type { Tools, WorkerPorts } from '../../src/steps/tools.js'
import { runJob } from '../../src/worker/runner.js'
import { freshDatabase, type TestDatabase } from '../support/databases.js'

const descriptor: Descriptor<{ id: string }> = { name: 'toy', version: 1, subject: (i) => ({ type: 'volume', id: i.id }), locks: () => [] }

let database: TestDatabase
let said: string[]
let hostId: string
let time = Date.now() * 1000
const clock = { now: () => time, monotonic: () => time, sleep: async () => {} }

beforeAll(async () => {
  database = await freshDatabase('sqlite')
})
afterAll(async () => await database.close())
beforeEach(() => {
  said = []
  hostId = randomUUID()
})

interface Toy {
  apply?: () => Promise<void>
  probe?: () => Promise<Observed>
  undo?: () => Promise<void>
}
const step = <K extends Step<object, Tools>['kind']>(kind: K, name: string, toy: Toy = {}) =>
  ({
    kind,
    name,
    async probe() {
      said.push(`probe ${name}`)
      return (await toy.probe?.()) ?? 'absent'
    },
    async apply() {
      said.push(`apply ${name}`)
      await toy.apply?.()
    },
    async undo() {
      said.push(`undo ${name}`)
      await toy.undo?.()
    },
  }) as unknown as Extract<Step<object, Tools>, { kind: K }>

const planned = (plan: Partial<Plan<object, Tools>>): Plan<object, Tools> => ({
  prepare: [],
  finish: [],
  settle: async () => void said.push('settle'),
  abandon: async (_, __, ___, { sentence, cancelled }) => void said.push(`abandon ${cancelled ? 'cancelled' : sentence}`),
  ...plan,
})

const enqueue = async (): Promise<string> => {
  const origin = { projectId: randomUUID(), userId: randomUUID(), requestId: 'req' }
  return await database.db.transaction((s) => s.jobs.enqueue(descriptor, { id: randomUUID() }, { hostId, origin }))
}

async function run(plan: Partial<Plan<object, Tools>>, more: { cancel?: boolean | AbortController; dieAt?: string; after?: number } = {}) {
  time += (more.after ?? 3600) * 1_000_000
  const claim = await database.db.transaction((s) =>
    s.jobs.claim({ hostId, workerId: randomUUID(), now: time, leaseFor: 1_000_000, except: [] }),
  )
  if (claim === undefined) throw new Error('nothing to run')
  const stop = new AbortController()
  const cancel = more.cancel instanceof AbortController ? more.cancel : new AbortController()
  if (more.cancel === true) cancel.abort()
  const operation = { descriptor: descriptor as unknown as Descriptor<object>, plan: () => planned(plan) }
  const ports = { db: database.db, clock } as unknown as WorkerPorts
  const signals = { stop: stop.signal, cancel: cancel.signal, makeWay: new AbortController().signal, report: () => {} }
  const gap = async (point: string): Promise<void> => {
    if (point !== more.dieAt) return
    stop.abort()
    throw new Error('killed')
  }
  return await runJob({ claim, operation, ports, signals, gap })
}

describe('the runner', () => {
  it('runs steps in order and settles', async () => {
    await enqueue()
    const result = await run({ prepare: [step('undoable', 'a')], pivot: step('pivot', 'p'), finish: [step('forward', 'f')] })
    expect(result).toBe('done')
    expect(said).toEqual(['apply a', 'apply p', 'apply f', 'settle'])
  })

  it('undoes what was started, newest first, when a step is refused', async () => {
    await enqueue()
    const no = step('undoable', 'b', { apply: () => Promise.reject(refused('no')) })
    expect(await run({ prepare: [step('undoable', 'a'), no, step('undoable', 'c')] })).toBe('failed')
    expect(said).toEqual(['apply a', 'apply b', 'undo b', 'undo a', 'abandon The operation could not be completed.'])
  })

  it('looks at a step found started, and does not repeat what is done', async () => {
    await enqueue()
    const a = step('undoable', 'a', { probe: async () => 'done' })
    expect(await run({ prepare: [a] }, { dieAt: 'a:after-apply' })).toBe('lost')
    expect(await run({ prepare: [a] })).toBe('done')
    expect(said).toEqual(['apply a', 'probe a', 'settle'])
  })

  it('undoes a partial effect before it applies again', async () => {
    await enqueue()
    const a = step('undoable', 'a', { probe: async () => 'partial' })
    await run({ prepare: [a] }, { dieAt: 'a:before-apply' })
    expect(await run({ prepare: [a] })).toBe('done')
    expect(said).toEqual(['probe a', 'undo a', 'apply a', 'settle'])
  })

  it('goes forward when a refused pivot turns out to have happened', async () => {
    await enqueue()
    const pivot = step('pivot', 'p', { apply: () => Promise.reject(refused('no')), probe: async () => 'done' })
    expect(await run({ prepare: [step('undoable', 'a')], pivot })).toBe('done')
    expect(said).toEqual(['apply a', 'apply p', 'probe p', 'settle'])
  })

  it('undoes nothing while nobody can say whether the pivot happened', async () => {
    await enqueue()
    let silent = true
    const probe = async (): Promise<Observed> => {
      if (silent) throw unavailable('no answer')
      return 'done'
    }
    const plan = { prepare: [step('undoable', 'a')], pivot: step('pivot', 'p', { apply: () => Promise.reject(unknown('lost')), probe }) }
    expect(await run(plan)).toBe('requeued')
    expect(await run(plan)).toBe('requeued')
    silent = false
    expect(await run(plan)).toBe('done')
    expect(said.filter((word) => word.startsWith('undo'))).toEqual([])
  })

  it('does not cancel beneath a pivot that happened', async () => {
    await enqueue()
    const plan = { prepare: [step('undoable', 'a')], pivot: step('pivot', 'p', { probe: async () => 'done' as const }) }
    await run(plan, { dieAt: 'p:after-apply' })
    expect(await run(plan, { cancel: true })).toBe('done')
    expect(said.at(-1)).toBe('settle')
  })

  it('cancels before the pivot and undoes', async () => {
    await enqueue()
    const plan = { prepare: [step('undoable', 'a')], pivot: step('pivot', 'p') }
    await run(plan, { dieAt: 'a:after-done' })
    expect(await run(plan, { cancel: true })).toBe('cancelled')
    expect(said).toEqual(['apply a', 'probe p', 'undo a', 'abandon cancelled'])
  })

  it('leaves a guard whatever happens, and first of all after a crash', async () => {
    await enqueue()
    const guard = { name: 'g', enter: async () => void said.push('enter'), leave: async () => void said.push('leave') }
    const plan = { pivot: step('pivot', 'p'), guard }
    await run(plan, { dieAt: 'g:entered' })
    expect(await run(plan)).toBe('done')
    expect(said).toEqual(['enter', 'leave', 'probe p', 'enter', 'apply p', 'leave', 'settle'])
  })

  it('tries forward steps again and never undoes past the pivot', async () => {
    await enqueue()
    let fails = 2
    const flaky = async (): Promise<void> => {
      if (fails-- > 0) throw refused('not yet')
    }
    const plan = { prepare: [step('undoable', 'a')], pivot: step('pivot', 'p'), finish: [step('forward', 'f', { apply: flaky })] }
    expect(await run(plan)).toBe('requeued')
    expect(await run(plan)).toBe('requeued')
    expect(await run(plan)).toBe('done')
    expect(said.filter((word) => word.startsWith('undo'))).toEqual([])
  })

  it('keeps the job, its locks and all evidence when only a person can decide', async () => {
    const jobId = await enqueue()
    const odd = step('undoable', 'b', { apply: () => Promise.reject(new NeedsAttention('Something is odd.')) })
    expect(await run({ prepare: [step('undoable', 'a'), odd] })).toBe('needs_attention')
    expect(said).toEqual(['apply a', 'apply b'])
    expect((await database.db.read.jobs.find(ANY, jobId))?.error?.message).toBe('Something is odd.')
  })

  it('asks for a person when a step has failed for an hour, however often it was claimed before', async () => {
    const jobId = await enqueue()
    let broken = false
    const step2 = async (): Promise<void> => {
      if (broken) throw refused('no')
      throw new Yielded()
    }
    const plan = { pivot: step('pivot', 'p'), finish: [step('forward', 'f', { apply: step2 })] }
    for (let claims = 0; claims < 70; claims++) expect(await run(plan)).toBe('requeued')
    broken = true
    for (let minutes = 0; minutes < 59; minutes++) expect(await run(plan, { after: minutes === 0 ? 3600 : 60 })).toBe('requeued')
    expect(await run(plan, { after: 120 })).toBe('needs_attention')
    // Somebody looked, and asks for more: the hour begins again.
    await database.db.transaction((s) => s.jobs.retry(ANY, jobId))
    expect(await run(plan)).toBe('requeued')
  })

  it.each([
    ['a QEMU that is silent', () => unknown('no reply', { reason: 'qemu-silent' })],
    ['a pool that is away', () => unavailable('no pool', { reason: 'pool-away' })],
    ['a pool that is full', () => refused('no room', { reason: 'no-space' })],
  ])('waits past the pivot for %s as long as it takes', async (_, error) => {
    const jobId = await enqueue()
    const plan = { pivot: step('pivot', 'p'), finish: [step('forward', 'f', { apply: () => Promise.reject(error()) })] }
    for (let hours = 0; hours < 80; hours++) expect(await run(plan)).toBe('requeued')
    expect((await database.db.read.jobs.find(ANY, jobId))?.error?.message).toBe(REASONS[error().reason ?? 'unwritable'])
  })

  it('waits two minutes before the pivot for what is away, then undoes and says what it was', async () => {
    await enqueue()
    const away = (): Promise<never> => Promise.reject(unavailable('ENOENT /secret', { reason: 'pool-away' }))
    const plan = { prepare: [step('undoable', 'a'), step('undoable', 'b', { apply: away })] }
    expect(await run(plan)).toBe('requeued')
    expect(await run(plan, { after: 60 })).toBe('requeued')
    expect(said).not.toContain('undo a')
    expect(await run(plan, { after: 61 })).toBe('failed')
    expect(said.slice(-2)).toEqual(['undo a', 'abandon The storage pool is not available.'])
  })

  it('goes on when what was away is there again, and gives up at once when that is asked for', async () => {
    let there = false
    const plan = {
      prepare: [step('undoable', 'a', { apply: () => (there ? Promise.resolve() : Promise.reject(unavailable('away'))) })],
    }
    await enqueue()
    expect(await run(plan)).toBe('requeued')
    there = true
    expect(await run(plan, { after: 1 })).toBe('done')
    there = false
    await enqueue()
    expect(await run(plan)).toBe('requeued')
    expect(await run(plan, { after: 1, cancel: true })).toBe('cancelled')
  })

  it('is cancelled, not failed, when that is asked for while it finds something away', async () => {
    const cancel = new AbortController()
    const apply = (): Promise<never> => {
      cancel.abort()
      return Promise.reject(unavailable('away'))
    }
    await enqueue()
    expect(await run({ prepare: [step('undoable', 'a', { apply })] }, { cancel })).toBe('cancelled')
  })

  it('fails at once where there is no room, and says so', async () => {
    await enqueue()
    const full = step('undoable', 'a', { apply: () => Promise.reject(refused('ENOSPC', { reason: 'no-space' })) })
    expect(await run({ prepare: [full] })).toBe('failed')
    expect(said.at(-1)).toBe('abandon There is no space left in the storage pool.')
  })

  it('goes back to the queue when a step made way', async () => {
    const jobId = await enqueue()
    const plan = { pivot: step('pivot', 'p'), finish: [step('forward', 'f', { apply: () => Promise.reject(new Yielded()) })] }
    expect(await run(plan)).toBe('requeued')
    expect((await database.db.read.jobs.find(ANY, jobId))?.state).toBe('queued')
  })

  it('ends without a word once its lease is another worker’s', async () => {
    const jobId = await enqueue()
    const rob = async (): Promise<void> => {
      time += 3600_000_000
      await database.db.transaction((s) => s.jobs.claim({ hostId, workerId: randomUUID(), now: time, leaseFor: 1_000_000, except: [] }))
    }
    expect(await run({ prepare: [step('undoable', 'a', { apply: rob }), step('undoable', 'b')] })).toBe('lost')
    expect(said).toEqual(['apply a'])
    expect((await database.db.read.jobs.find(ANY, jobId))?.state).toBe('running')
  })
})
