/** Small statistics and the table the bench prints. Times are milliseconds. */
export interface Row {
  what: string
  n: number
  ours: number
  /** p90 of ours. */
  p90?: number
  floor?: number
  unit: string
  budget?: string
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
    row.budget ?? '',
  ])
  const head = ['operation', 'n', 'p50', 'p90', 'floor', 'ratio', 'budget']
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)))
  const print = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [print(head), print(widths.map((width) => '-'.repeat(width))), ...lines.map(print)].join('\n')
}
