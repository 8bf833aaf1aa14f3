/**
 * A job's book-keeping: the journal rows as this run knows them, what its steps have learnt, and fenced writes.
 * It decides nothing. Every write carries the lease; zero rows matched is `LeaseLost`, and that ends the run.
 */
import type { StepRow } from '../domain/job.js'
import type { Claim, Database, JournalEntry, Stores } from '../ports/stores.js'
import type { Facts, Journal } from '../steps/step.js'

export interface JobJournal {
  state(name: string): StepRow['state'] | undefined
  /** `started` was committed by this run together with the step before, and surely nothing was applied yet. */
  isFresh(name: string): boolean
  /** Did this run get a step behind it? */
  advanced(): boolean
  entry(name: string, state: StepRow['state'], kind?: StepRow['kind']): JournalEntry
  write(entries: readonly JournalEntry[], rows?: (stores: Stores) => Promise<void> | undefined): Promise<void>
  /** Marks entries just written as fresh; applying spends it. */
  fresh(names: readonly string[]): void
  spend(name: string): void
  learn(name: string, facts: Facts): void
  /** Facts of this run so far, not yet written. */
  takeFacts(name: string): Facts
  /** `entries` are part of the same transaction and count as written. */
  view(now: number, more?: { fail?: (sentence: string) => void; entries?: readonly JournalEntry[] }): Journal
}

export function createJobJournal(db: Database, claim: Claim): JobJournal {
  const rows = new Map<string, Pick<StepRow, 'state' | 'ordinal' | 'facts'>>()
  const unapplied = new Set<string>()
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
    async write(entries, write) {
      await db.transaction(async (stores) => {
        await write?.(stores)
        await stores.jobs.journal(claim.lease, entries)
      })
      for (const entry of entries) {
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
