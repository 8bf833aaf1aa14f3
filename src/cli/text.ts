/** How things read in a terminal: aligned columns, sizes, times, and a tree of lines. Pure text in, pure text out. */

export type Cell = string | number | boolean | null | undefined
/** A title and what a row has under it. */
export type Column<T> = readonly [title: string, of: (row: T) => Cell]

/** Names are others' words: nothing in them may move the cursor, break a line, or turn around what follows. */
export const plain = (text: string): string =>
  text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

const shown = (cell: Cell): string => (cell === null || cell === undefined ? '-' : plain(String(cell)))

/** Columns of nothing but numbers stand to the right. */
export function renderTable<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  const cells = rows.map((row) => columns.map(([, of]) => shown(of(row))))
  const lines = [columns.map(([title]) => title), ...cells]
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => (line[at] ?? '').length)))
  const isNumeric = columns.map((_, at) => cells.length > 0 && cells.every((line) => /^(-|[\d.]+( ?\S{1,3})?)$/.test(line[at] ?? '')))
  return lines
    .map((line) =>
      line
        .map((text, at) => (isNumeric[at] === true ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** One thing, a field a line. */
export function renderRecord(fields: readonly (readonly [name: string, value: Cell])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length))
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${shown(value)}`).join('\n')
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length)
  const value = bytes / 1024 ** power
  return `${value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value)} ${UNITS[power - 1]}`
}

export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes} min ${whole % 60} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** To the second; the rest is for `--format json`. */
export const timeText = (iso: string | null | undefined): Cell => iso?.replace('T', ' ').replace(/(\.\d+)?Z$/, '')

export interface Branch {
  readonly label: string
  readonly children: readonly Branch[]
}

/** Roots at the margin, children below their parent. */
export const renderTree = (roots: readonly Branch[]): string =>
  roots.flatMap((root) => [plain(root.label), ...limbs(root.children)]).join('\n')

const limbs = (children: readonly Branch[]): string[] =>
  children.flatMap((child, at) => {
    const isLast = at === children.length - 1
    return [
      `${isLast ? '└── ' : '├── '}${plain(child.label)}`,
      ...limbs(child.children).map((line) => `${isLast ? '    ' : '│   '}${line}`),
    ]
  })
