/** Jobs: seen, explained, cancelled, tried again. */
import type { Handler } from '../../contract.js'
import { explanationView, jobView, stepView } from '../../views/strata/strata.js'

const PAGE = 100

export const listJobs: Handler<'listJobs'> = async ({ caller, query, here, services, reply }) => {
  const limit = query.limit ?? PAGE
  const jobs = await services.jobs.listJobs(caller, {
    state: query.state,
    operation: query.operation,
    resourceType: query.resource_type,
    resourceId: query.resource_id,
    marker: query.marker,
    allProjects: query.all_projects ?? false,
    limit: limit + 1,
  })
  const page = jobs.slice(0, limit)
  const search = new URLSearchParams(here.search)
  search.set('marker', page.at(-1)?.id ?? '')
  return reply(200, { jobs: page.map(jobView), next: jobs.length > limit ? `${here.origin}${here.path}?${search}` : null })
}

export const showJob: Handler<'showJob'> = async ({ caller, path, services, reply }) => {
  const { job, steps, guestPausedMs } = await services.jobs.showJob(caller, path.job_id)
  return reply(200, { job: jobView(job), steps: steps.map((step) => stepView(step, caller.isAdmin)), guest_paused_ms: guestPausedMs })
}

export const explainJob: Handler<'explainJob'> = async ({ caller, path, services, reply }) => {
  const found = await services.jobs.explainJob(caller, path.job_id)
  const steps = found.steps.map((step) => stepView(step, caller.isAdmin))
  return reply(200, { job: jobView(found.job), steps, guest_paused_ms: found.guestPausedMs, explanation: explanationView(found) })
}

export const cancelJob: Handler<'cancelJob'> = async ({ caller, path, services, reply }) =>
  reply(202, { job: jobView(await services.jobs.cancelJob(caller, path.job_id)) })

export const limitJob: Handler<'limitJob'> = async ({ caller, path, body, services, reply }) =>
  reply(202, { job: jobView(await services.jobs.limitJob(caller, path.job_id, body.bytes_per_second ?? 0)) })

export const retryJob: Handler<'retryJob'> = async ({ caller, path, services, reply }) =>
  reply(202, { job: jobView(await services.jobs.retryJob(caller, path.job_id)) })
