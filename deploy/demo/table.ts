export interface Row {
  readonly operation: string
  readonly millis: number
  /** How long the guest could not write; undefined: not at all, or not applicable. */
  readonly pauseMillis?: number
  /** Bytes moved; undefined: none to speak of. */
  readonly bytes?: number
  readonly note?: string
}

export function renderTable(rows: readonly Row[]): string {
  const cells = [
    ['operation', 'time', 'guest pause', 'bytes moved', ''],
    ...rows.map((row) => [
      row.operation,
      `${row.millis.toFixed(0)} ms`,
      row.pauseMillis === undefined ? '' : `${row.pauseMillis.toFixed(1)} ms`,
      row.bytes === undefined ? '' : row.bytes.toLocaleString('en'),
      row.note ?? '',
    ]),
  ]
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...cells.map((line) => (line[column] ?? '').length)))
  const lines = cells.map((line) =>
    line
      .map((cell, column) => (column === 0 || column === 4 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
  return [lines[0], '-'.repeat(widths.reduce((a, b) => a + b + 2, -2)), ...lines.slice(1)].join('\n')
}
