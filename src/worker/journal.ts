/**
 * A job's book-keeping: the journal rows as this run knows them, what its steps have learnt, and fenced writes.
 * It decides nothing. Every write carries the lease; zero rows matched is `LeaseLost`, and that ends the run.
 */
import type { StepRow } from '../domain/job.js'
import type { Claim, Database, JournalEntry, Stores } from '../ports/stores.js'
import type { Facts, Journal, Plan, Step } from '../steps/step.js'
import type { Tools } from '../steps/tools.js'

export type Rows = (stores: Stores) => Promise<void> | undefined

export interface JobJournal {
  state(name: string): StepRow['state'] | undefined
  /** `started` was committed by this run together with the step before, and surely nothing was applied yet. */
  isFresh(name: string): boolean
  /** Did this run get a step behind it? */
  advanced(): boolean
  entry(name: string, state: StepRow['state'], kind?: StepRow['kind']): JournalEntry
  write(entries: readonly JournalEntry[], rows?: Rows): Promise<void>
  /** Marks entries just written as fresh; applying spends it. */
  fresh(names: readonly string[]): void
  /** Written with whatever is written next. Lost in a crash, the step is found `started` and looked at. */
  owe(entry: JournalEntry, rows: Rows): void
  spend(name: string): void
  learn(name: string, facts: Facts): void
  /** Facts of this run so far, not yet written. */
  takeFacts(name: string): Facts
  /** `entries` are part of the same transaction and count as written. */
  view(now: number, more?: { fail?: (sentence: string) => void; entries?: readonly JournalEntry[] }): Journal
}

/** What is written before a step: its entry, those of steps that join it, and that of the guard around a pivot. */
export function startedWith(
  plan: Plan<object, Tools>,
  step: Step<object, Tools>,
  ordinalOf: (name: string, index: number) => number,
): JournalEntry[] {
  const at = plan.prepare.findIndex((one) => one.name === step.name)
  const joined: Step<object, Tools>[] = []
  for (let next = at + 1; at >= 0 && plan.prepare[next]?.joins === true; next++) joined.push(plan.prepare[next] as Step<object, Tools>)
  const guard = step.kind === 'pivot' ? plan.guard : undefined
  const entries = [
    ...[step, ...joined].map(({ name }) => ({ name, kind: 'step' as const })),
    ...(guard ? [{ name: guard.name, kind: 'guard' as const }] : []),
  ]
  return entries.map(({ name, kind }, index) => ({ name, kind, state: 'started', ordinal: ordinalOf(name, index) }))
}

export function createJobJournal(db: Database, claim: Claim & { readonly begun?: readonly string[] }): JobJournal {
  const rows = new Map<string, Pick<StepRow, 'state' | 'ordinal' | 'facts'>>()
  const unapplied = new Set<string>(claim.begun)
  const owed: { entry: JournalEntry; rows: Rows }[] = []
  const learnt = new Map<string, Facts>()
  let advanced = false
  let next = 0
  const keep = (name: string, row: Pick<StepRow, 'state' | 'ordinal' | 'facts'>): void => {
    rows.set(name, row)
    next = Math.max(next, row.ordinal + 1)
  }
  for (const row of claim.journal) keep(row.name, row)

  return {
    state: (name) => rows.get(name)?.state,
    isFresh: (name) => unapplied.has(name),
    advanced: () => advanced,
    entry: (name, state, kind = 'step') => ({ name, kind, state, ordinal: rows.get(name)?.ordinal ?? next++ }),
    fresh(names) {
      for (const name of names) unapplied.add(name)
    },
    spend: (name) => void unapplied.delete(name),
    learn: (name, facts) => void learnt.set(name, { ...learnt.get(name), ...facts }),
    takeFacts(name) {
      const facts = learnt.get(name) ?? {}
      learnt.delete(name)
      return facts
    },
    owe: (entry, rows) => void owed.push({ entry, rows }),
    async write(entries, write) {
      const all = [...owed.map(({ entry }) => entry), ...entries]
      await db.transaction(async (stores) => {
        for (const { rows } of owed) await rows(stores)
        await write?.(stores)
        await stores.jobs.journal(claim.lease, all)
      })
      owed.length = 0
      for (const entry of all) {
        const before = rows.get(entry.name)?.facts ?? {}
        keep(entry.name, { state: entry.state, ordinal: entry.ordinal, facts: entry.facts ?? before })
        if (entry.kind === 'step' && (entry.state === 'done' || entry.state === 'undone')) advanced = true
      }
    },
    view(now, { fail = () => {}, entries = [] } = {}) {
      const facts = (name: string): Facts => entries.find((entry) => entry.name === name)?.facts ?? rows.get(name)?.facts ?? {}
      return {
        fail,
        jobId: claim.job.id,
        hostId: claim.job.hostId,
        requestId: claim.job.requestId,
        userId: claim.job.userId,
        projectId: claim.job.projectId,
        now,
        facts,
        begun: (name) => rows.has(name),
        recovered: (name) => facts(name)['recovered'] === true,
      }
    },
  }
}
