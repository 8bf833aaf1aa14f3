/** Small statistics, budgets, and the table the bench prints. Times are milliseconds. */
import { readdirSync, readFileSync } from 'node:fs'

/** What a row should be, in words, and whether it is. Told, never asserted: a busy machine is no defect. */
export interface Budget {
  readonly text: string
  met(row: Row): boolean
}

export const below = (limit: number, unit = 'ms'): Budget => ({ text: `< ${limit} ${unit}`, met: ({ ours }) => ours < limit })
export const above = (limit: number, unit: string): Budget => ({ text: `> ${limit} ${unit}`, met: ({ ours }) => ours > limit })
/** Against the floor of the same run: this holds on a busy machine as well. */
export const within = (times: number): Budget => ({
  text: `< ${times}x`,
  met: ({ ours, floor }) => floor !== undefined && ours / floor < times,
})
export const atLeast = (times: number): Budget => ({
  text: `> ${times}x`,
  met: ({ ours, floor }) => floor !== undefined && ours / floor > times,
})
export const processor = (limit: number): Budget => ({ text: `< ${limit} ms CPU`, met: ({ cpu }) => cpu !== undefined && cpu < limit })

/** Processor time a process has used so far, all its threads, milliseconds. */
export function processorTime(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  const used = threads.map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]))
  return used.reduce((sum, one) => sum + one, 0) / 1e6
}

export interface Row {
  what: string
  n: number
  ours: number
  /** p90 of ours. */
  p90?: number
  floor?: number
  /** Processor time of the service for one, milliseconds. */
  cpu?: number
  unit: string
  budget?: readonly Budget[]
  /** What the floor is. */
  against?: string
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}
export const median = (values: readonly number[]): number => quantile(values, 0.5)

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

export async function repeat(n: number, work: (index: number) => Promise<number>): Promise<number[]> {
  const values: number[] = []
  for (let index = 0; index < n; index++) values.push(await work(index))
  return values
}

const figure = (value: number | undefined): string => (value === undefined ? '' : value >= 100 ? value.toFixed(0) : value.toFixed(2))

export function table(rows: readonly Row[]): string {
  const lines = rows.map((row) => [
    row.what,
    String(row.n),
    `${figure(row.ours)} ${row.unit}`,
    figure(row.p90),
    row.floor === undefined ? '' : `${figure(row.floor)} ${row.unit}`,
    row.floor === undefined ? '' : `${figure(row.ours / row.floor)}x`,
    figure(row.cpu),
    (row.budget ?? []).map((one) => `${one.text} ${one.met(row) ? 'met' : 'MISSED'}`).join(', '),
  ])
  const head = ['operation', 'n', 'p50', 'p90', 'floor', 'ratio', 'CPU ms', 'budget']
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)))
  const print = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [print(head), print(widths.map((width) => '-'.repeat(width))), ...lines.map(print)].join('\n')
}
