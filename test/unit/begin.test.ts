/** How a job begins, and what it costs: as few commits as the laws allow, and nothing applied that was not written down. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { refused } from '../../src/domain/errors.js'
import type { Descriptor } from '../../src/domain/operation.js'
import { ANY, type Database } from '../../src/ports/stores.js'
import type { Operation, Plan, Step } from '../../src/steps/step.js'
import type { Tools, WorkerPorts } from '../../src/steps/tools.js'
import { endIfStepless, takeJob } from '../../src/worker/begin.js'
import { runJob } from '../../src/worker/runner.js'
import { freshDatabase, type TestDatabase } from '../support/databases.js'

const descriptor: Descriptor<{ id: string }> = { name: 'toy', version: 1, subject: (i) => ({ type: 'volume', id: i.id }), locks: () => [] }
const clock = { now: () => Date.now() * 1000, monotonic: () => performance.now() * 1000, sleep: async () => {} }

let database: TestDatabase
let said: string[]
let jobId: string
let hostId: string

beforeAll(async () => {
  database = await freshDatabase('sqlite')
})
afterAll(async () => await database.close())
beforeEach(async () => {
  said = []
  hostId = randomUUID()
  const origin = { projectId: 'p', userId: 'u', requestId: 'req' }
  jobId = await database.db.transaction((s) => s.jobs.enqueue(descriptor, { id: randomUUID() }, { hostId, origin }))
})

/** Says what it does, and what the journal says while it does it. */
const step = <K extends Step<object, Tools>['kind']>(kind: K, name: string, more: object = {}) =>
  ({
    kind,
    name,
    async probe() {
      said.push(`probe ${name}`)
      return 'done'
    },
    async apply() {
      const journal = await database.db.read.jobs.steps(jobId)
      said.push(`apply ${name} (${journal.map((row) => `${row.name} ${row.state}`).join(', ')})`)
    },
    record: async () => void said.push(`record ${name}`),
    undo: async () => void said.push(`undo ${name}`),
    ...more,
  }) as unknown as Extract<Step<object, Tools>, { kind: K }>

async function drive(plan: Partial<Plan<object, Tools>>, dieAt?: string) {
  let commits = 0
  const db: Database = {
    ...database.db,
    transaction: async (work) => {
      const result = await database.db.transaction(work)
      commits++
      return result
    },
  }
  const whole: Plan<object, Tools> = {
    prepare: [],
    finish: [],
    settle: async () => void said.push('settle'),
    abandon: async () => void said.push('abandon'),
    ...plan,
  }
  const operation: Operation<object, Tools> = { descriptor: descriptor as unknown as Descriptor<object>, plan: () => whole }
  const registry = new Map([['toy@1', operation]])
  const ports = { db, clock } as unknown as WorkerPorts
  const wanted = { hostId, workerId: randomUUID(), now: clock.now(), leaseFor: dieAt === undefined ? 60_000_000 : 0, except: [] }
  const { claim, ended } = await db.transaction(async (stores) => {
    const taken = await takeJob(stores, wanted, registry)
    return { claim: taken, ended: taken && (await endIfStepless(stores, taken, registry, ports)) }
  })
  if (claim === undefined) throw new Error('nothing to run')
  const stop = new AbortController()
  const signals = { stop: stop.signal, cancel: new AbortController().signal, makeWay: new AbortController().signal, report: () => {} }
  const gap = async (point: string): Promise<void> => {
    if (point !== dieAt) return
    stop.abort()
    throw new Error('killed')
  }
  return { result: ended ?? (await runJob({ claim, operation, ports, signals, gap })), commits }
}

describe('a job', () => {
  it('is claimed and begun in one commit, its joined steps together, and ends with its last step', async () => {
    const plan = { prepare: [step('undoable', 'a'), step('undoable', 'b', { joins: true })], pivot: step('pivot', 'p') }
    expect(await drive(plan)).toEqual({ result: 'done', commits: 3 })
    expect(said).toEqual([
      'apply a (a started, b started)',
      'apply b (a started, b started)',
      'record a',
      'record b',
      'apply p (a done, b done, p started)',
      'record p',
      'settle',
    ])
  })

  it('without steps ends in the transaction that claimed it', async () => {
    expect(await drive({})).toEqual({ result: 'done', commits: 1 })
    expect(await database.db.read.jobs.find(ANY, jobId)).toMatchObject({ state: 'done', leaseOwner: null })
  })

  it('looks at all its joined steps when it died before their `done` was written', async () => {
    const plan = { prepare: [step('undoable', 'a'), step('undoable', 'b', { joins: true })], pivot: step('pivot', 'p') }
    expect((await drive(plan, 'b:after-apply')).result).toBe('lost')
    said.length = 0
    expect((await drive(plan)).result).toBe('done')
    expect(said.filter((word) => !word.startsWith('apply p'))).toEqual(['probe a', 'record a', 'probe b', 'record b', 'record p', 'settle'])
  })

  it('undoes a joined step and the one before it, whose rows were written first', async () => {
    const no = step('undoable', 'b', { joins: true, apply: () => Promise.reject(refused('no')) })
    expect((await drive({ prepare: [step('undoable', 'a'), no], pivot: step('pivot', 'p') })).result).toBe('failed')
    expect(said).toEqual(['apply a (a started, b started)', 'record a', 'undo b', 'undo a', 'abandon'])
  })

  it('ends by its last step even if that one joins', async () => {
    expect((await drive({ prepare: [step('undoable', 'a'), step('undoable', 'b', { joins: true })] })).result).toBe('done')
    expect(said.filter((word) => !word.startsWith('apply'))).toEqual(['record a', 'record b', 'settle'])
  })
})
