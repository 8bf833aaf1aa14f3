/** What a job's progress reads like: a bar that is redrawn in place on a terminal, a line now and then elsewhere. */
import type { Job } from './job.js'
import { durationText, sizeText } from './text.js'

const LEAST_BAR = 10
const MOST_BAR = 40

/** Fits in `columns`; without known bytes there is nothing to draw. */
export function barText(job: Job, columns: number): string {
  const head = `${job.operation}  ${job.state}`
  const share = shareOf(job)
  if (share === undefined) return head.slice(0, columns)
  const tail = `${percent(share)}  ${measures(job)}`
  const width = Math.min(MOST_BAR, columns - head.length - tail.length - 6)
  if (width < LEAST_BAR) return `${head}  ${tail}`.slice(0, columns)
  const full = Math.round(width * share)
  return `${head}  [${'#'.repeat(full)}${'-'.repeat(width - full)}]  ${tail}`
}

export function lineText(job: Job): string {
  const known = progressText(job)
  return `${job.operation}  ${job.state}${known === undefined ? '' : `  ${known}`}`
}

/** Undefined: nothing is known, or worth telling. */
export function progressText(job: Job): string | undefined {
  const share = shareOf(job)
  return share === undefined ? undefined : `${percent(share)}  ${measures(job)}`
}

/** Changes when a plain line is worth another one: with the state, and with every tenth part. */
export const milestone = (job: Job): string => `${job.state} ${Math.floor((shareOf(job) ?? 0) * 10)}`

/** What was last heard of a job that is done was said before its end: then it is worth nothing. */
function shareOf({ progress, state }: Job): number | undefined {
  if (progress === null || progress.bytes_total <= 0 || (state === 'done' && progress.bytes_done < progress.bytes_total)) return undefined
  return Math.min(1, Math.max(0, progress.bytes_done / progress.bytes_total))
}

/** Rounded down: 100 % is said when it is true. */
const percent = (share: number): string => `${Math.floor(share * 100)} %`.padStart(5)

function measures({ progress, ended_at }: Job): string {
  if (progress === null) return ''
  const { bytes_done, bytes_total, bytes_per_second, seconds_left } = progress
  const parts = [`${sizeText(bytes_done)} of ${sizeText(bytes_total)}`]
  if (ended_at === null && bytes_per_second > 0) parts.push(`${sizeText(bytes_per_second)}/s`)
  if (ended_at === null && seconds_left !== null) parts.push(`${durationText(seconds_left)} left`)
  return parts.join('  ')
}
