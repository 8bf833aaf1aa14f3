/**
 * Small pieces of pictures. No script, no reference to anything outside; whatever text comes from callers is escaped, and
 * cut where it would not fit. Colours are attributes, so that a page which forbids styles still shows it in light; where
 * styles are allowed it follows the reader's light or dark.
 */
const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
/** What XML knows no way to write, a half of a pair included. */
const UNWRITABLE = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu
/** They turn the direction of what stands beside them. */
const TURNING = /[\u{200e}\u{200f}\u{202a}-\u{202e}\u{2066}-\u{2069}]/gu

export const escapeXml = (text: string): string =>
  text
    .replace(UNWRITABLE, '\u{fffd}')
    .replace(TURNING, '')
    .replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char)

type Look = 'page' | 'box' | 'chosen' | 'present' | 'line' | 'bar' | 'text' | 'faint' | 'accent'

const LIGHT: Record<Look, string> = {
  page: 'fill="#ffffff"',
  box: 'fill="#f5f7fa" stroke="#8a94a6"',
  chosen: 'fill="#e8f1fd" stroke="#1f6fd1" stroke-width="2"',
  present: 'fill="#edf7ee" stroke="#2e8540" stroke-width="2" stroke-dasharray="6 4"',
  line: 'fill="none" stroke="#8a94a6" stroke-width="1.5"',
  bar: 'fill="#8db7ea"',
  text: 'fill="#1c2430"',
  faint: 'fill="#5a6473"',
  accent: 'fill="#1f5fb4"',
}
const DARK =
  '@media (prefers-color-scheme: dark) {' +
  '.page{fill:#14181f}.box{fill:#1f2630;stroke:#6b7687}.chosen{fill:#16304f;stroke:#5aa2f5}.present{fill:#17301c;stroke:#5cb870}' +
  '.line{stroke:#6b7687}.bar{fill:#3d6ea8}.text{fill:#e8ecf2}.faint{fill:#a3adbb}.accent{fill:#8dc0ff}}'

const dressed = (look: Look): string => `class="${look}" ${LIGHT[look]}`
const WIDTH_OF_A_LETTER = 0.56

export interface Text {
  readonly x: number
  readonly y: number
  readonly text: string
  readonly look?: 'text' | 'faint' | 'accent'
  readonly size?: number
  readonly bold?: boolean
  /** Pixels it has. */
  readonly room: number
}

export function text({ x, y, text: full, look = 'text', size = 12, bold = false, room }: Text): string {
  const letters = Array.from(full.replaceAll(/\s+/g, ' '))
  const short = cut(letters, room / (size * WIDTH_OF_A_LETTER * (bold ? 1.15 : 1)))
  const weight = bold ? ' font-weight="600"' : ''
  const whole = short === full ? '' : `<title>${escapeXml(full.slice(0, 1000))}</title>`
  return `<text x="${x}" y="${y}" font-size="${size}"${weight} ${dressed(look)}>${escapeXml(short)}${whole}</text>`
}

function cut(letters: readonly string[], fits: number): string {
  // Of many scripts, and of pictures, one is as wide as two of ours.
  const width = (all: readonly string[]): number => all.reduce((sum, letter) => sum + (letter >= '\u1100' ? 2 : 1), 0)
  if (width(letters) <= fits) return letters.join('')
  let count = Math.min(letters.length, Math.floor(fits))
  while (count > 0 && width(letters.slice(0, count)) + 1 > fits) count--
  return `${letters.slice(0, count).join('')}…`
}

export const box = (x: number, y: number, width: number, height: number, look: 'box' | 'chosen' | 'present'): string =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="8" ${dressed(look)}/>`

export const bar = (x: number, y: number, width: number): string =>
  `<rect x="${x}" y="${y}" width="${Math.max(2, width)}" height="6" rx="3" ${dressed('bar')}/>`

export const path = (d: string): string => `<path d="${d}" ${dressed('line')}/>`

/** `what` is read out to those who cannot see it. */
export function picture(what: string, width: number, height: number, parts: readonly string[]): string {
  const title = escapeXml(what.slice(0, 1000))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}" font-family="system-ui, sans-serif">`,
    `<style>${DARK}</style>`,
    `<rect width="${width}" height="${height}" ${dressed('page')}/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let at = 0
  let value = bytes
  for (; value >= 1024 && at < units.length - 1; at++) value /= 1024
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`
}
