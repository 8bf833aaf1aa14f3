/**
 * How a job begins: claimed, and the first `started` of its journal written, in one transaction. A job without steps is
 * rows alone and even ends there. One taken over from another worker, or found with a journal, begins with neither: first
 * the predecessor must be gone, and then the world is looked at.
 */
import type { Job } from '../domain/job.js'
import { operationKey, type Registry } from '../operations/registry.js'
import type { JobStore, Stores } from '../ports/stores.js'
import type { Operation, Plan, Step } from '../steps/step.js'
import type { Tools, WorkerPorts } from '../steps/tools.js'
import { createEndings, type RunResult } from './endings.js'
import { createJobJournal, startedWith } from './journal.js'

type Claimed = NonNullable<Awaited<ReturnType<JobStore['claim']>>>
/** `begun`: entries of the journal that this claim wrote, so that surely nothing was applied yet. */
export type Taken = Claimed & { readonly begun?: readonly string[] }

export const operationOf = (registry: Registry, job: Job): Operation<object, Tools> | undefined =>
  registry.get(operationKey(job.operation, job.version))

export async function takeJob(stores: Stores, wanted: Parameters<JobStore['claim']>[0], registry: Registry): Promise<Taken | undefined> {
  const claim = await stores.jobs.claim(wanted)
  if (claim === undefined || !isNew(claim)) return claim
  const plan = operationOf(registry, claim.job)?.plan(claim.job.input)
  const first = plan && stepsOf(plan)[0]
  if (plan === undefined || first === undefined) return claim
  const entries = startedWith(plan, first, (_, index) => index)
  await stores.jobs.journal(claim.lease, entries)
  const row = { jobId: claim.job.id, attempts: 1, facts: {}, error: null, startedAt: wanted.now, endedAt: null }
  return { ...claim, journal: entries.map((entry) => ({ ...row, ...entry, facts: {}, error: null })), begun: entries.map((e) => e.name) }
}

/** In the transaction that claimed it. Undefined: there is something to do first. */
export async function endIfStepless(stores: Stores, claim: Taken, registry: Registry, ports: WorkerPorts): Promise<RunResult | undefined> {
  const operation = operationOf(registry, claim.job)
  if (operation === undefined || !isNew(claim)) return undefined
  const plan = operation.plan(claim.job.input)
  if (stepsOf(plan).length > 0) return undefined
  return await createEndings({ claim, operation, plan, ports, journal: createJobJournal(ports.db, claim) }).settleIn(stores)
}

const isNew = ({ job, journal, expiredOwner }: Claimed): boolean =>
  expiredOwner === null && journal.length === 0 && job.state === 'running' && !job.cancelRequested && job.error === null

const stepsOf = (plan: Plan<object, Tools>): readonly Step<object, Tools>[] => [
  ...plan.prepare,
  ...(plan.pivot ? [plan.pivot] : []),
  ...plan.finish,
]
