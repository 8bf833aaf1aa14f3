/** `strata job …`: what the service is at, how far it is, and what became of it. */

import { explainJob, type Job, type JobDetail, mustEndWell, watchJob } from './job.js'
import { progressText } from './progress.js'
import { type Column, durationText, renderRecord, renderTable, timeText } from './text.js'
import { type AddCommands, choice } from './tools.js'
import { wholeNumber } from './values.js'

const STATES = ['queued', 'running', 'undoing', 'done', 'failed', 'cancelled', 'needs_attention']
const COLUMNS: readonly Column<Job>[] = [
  ['id', (job) => job.id],
  ['operation', (job) => job.operation],
  ['state', (job) => job.state],
  ['of', (job) => `${job.resource_type} ${job.resource_id}`],
  ['created', (job) => timeText(job.created_at)],
  ['took', (job) => tookText(job)],
]

export const addJobCommands: AddCommands = (program, tools) => {
  const group = program.command('job').description('what the service does for requests: list, show, watch, cancel, retry')

  group
    .command('list')
    .description('jobs of the project, newest first')
    .addOption(choice('--state <state>', 'only these', STATES))
    .option('--operation <name>', 'only these')
    .option('--resource <id>', 'only those of one server, volume, snapshot, …')
    .option('--limit <n>', 'at most so many', wholeNumber, 20)
    .option('--all-projects', 'as administrator')
    .action(async (options: { state?: string; operation?: string; resource?: string; limit: number; allProjects?: boolean }) => {
      const query = new URLSearchParams({ limit: String(options.limit) })
      if (options.state !== undefined) query.set('state', options.state)
      if (options.operation !== undefined) query.set('operation', options.operation)
      if (options.resource !== undefined) query.set('resource_id', options.resource)
      if (options.allProjects === true) query.set('all_projects', 'true')
      const session = await tools.session()
      tools.printList((await session.call<{ jobs: Job[] }>('strata', 'GET', `/jobs?${query}`)).jobs, COLUMNS)
    })

  group
    .command('show <job>')
    .description('its steps, and in words what it does, waits for or ran into')
    .action(async (id: string) => {
      const detail = await explainJob(await tools.session(), id)
      tools.print(detail, () => detailText(detail))
    })

  group
    .command('watch <job>')
    .description('until it has ended; the exit code says how')
    .action(async (id: string) => {
      const session = await tools.session()
      const job = await watchJob(session, id, tools.terminal)
      await mustEndWell(session, job)
      tools.print(job, () => `job ${job.id} is done`)
    })

  for (const [verb, meaning] of [
    ['cancel', 'ask it to stop, which it does where that is safe'],
    ['retry', 'try again now what waits for its next attempt or needs attention'],
  ] as const)
    group
      .command(`${verb} <job>`)
      .description(meaning)
      .action(async (id: string) => {
        const session = await tools.session()
        const { job } = await session.call<{ job: Job }>('strata', 'POST', `/jobs/${encodeURIComponent(id)}/${verb}`)
        tools.print(job, () => `job ${job.id} is ${job.state}`)
      })
}

const tookText = ({ started_at, ended_at }: Job): string | null =>
  started_at === null || ended_at === null ? null : fineDuration((Date.parse(ended_at) - Date.parse(started_at)) / 1000)
const fineDuration = (seconds: number): string => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : durationText(seconds))

function detailText({ job, steps, explanation, guest_paused_ms }: JobDetail): string {
  const progress = progressText(job)
  const record = renderRecord([
    ['id', job.id],
    ['operation', job.operation],
    ['state', job.state],
    ['of', `${job.resource_type} ${job.resource_id}`],
    ['created', timeText(job.created_at)],
    ['took', tookText(job)],
    ...(progress === undefined ? [] : [['progress', progress.trimStart()] as const]),
    ...(guest_paused_ms === null ? [] : [['guest paused', `${guest_paused_ms} ms`] as const]),
    ['so', explanation.sentence],
    ...(explanation.you_can.length === 0 ? [] : [['you can', explanation.you_can.join('; ')] as const]),
  ])
  const columns: readonly Column<JobDetail['steps'][number]>[] = [
    ['step', (step) => step.name],
    ['state', (step) => step.state],
    ['took', (step) => (step.seconds === null ? null : fineDuration(step.seconds))],
  ]
  return steps.length === 0 ? record : `${record}\n\n${renderTable(steps, columns)}`
}
