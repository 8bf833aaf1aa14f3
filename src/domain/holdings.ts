/**
 * What layers hold, as far as moving their data goes: the disk's address space divided by who holds each part, and how.
 * Of a tree of layers this is small (a row for each combination that occurs) and enough to follow any sequence of
 * merges exactly, without a list of extents ever leaving the host.
 */

import type { MergeChild, MergeCosts } from './merge-plan.js'

/** d: data in a cluster of its own. z: says zeroes, without data. -: nothing, the layer below shows. */
export type Hold = 'd' | 'z' | '-'

/** In order of address, without overlaps; what is in none of them is not held. Bytes. */
export interface Extent {
  readonly start: number
  readonly length: number
  readonly hold: 'd' | 'z'
}

export interface Holdings {
  /** Each row's `holds` has one letter for each of these, in this order. */
  readonly layers: readonly string[]
  readonly rows: readonly { readonly holds: string; readonly bytes: number }[]
}

export function holdingsOf(maps: ReadonlyMap<string, readonly Extent[]>): Holdings {
  const layers = [...maps.keys()]
  const edges = layers.flatMap((id, layer) =>
    (maps.get(id) ?? []).flatMap(({ start, length, hold }) => [
      { at: start, layer, hold: hold as Hold },
      { at: start + length, layer, hold: '-' as Hold },
    ]),
  )
  // Where one extent ends and the next begins, the end comes first.
  edges.sort((a, b) => a.at - b.at || Number(b.hold === '-') - Number(a.hold === '-'))
  const now: Hold[] = layers.map(() => '-')
  const bytes = new Map<string, number>()
  let from = 0
  for (const { at, layer, hold } of edges) {
    if (at > from) {
      const holds = now.join('')
      bytes.set(holds, (bytes.get(holds) ?? 0) + at - from)
      from = at
    }
    now[layer] = hold
  }
  return { layers, rows: rowsOf(bytes) }
}

/** Bytes of data a layer holds itself. */
export const dataIn = (held: Holdings, layer: string): number => sum(held, layer, layer, (hold) => hold === 'd')

/** Bytes of data that go up when `from` is pulled into `into`: what that one does not hold itself. */
export const missingIn = (held: Holdings, from: string, into: string): number =>
  sum(held, from, into, (hold, other) => hold === 'd' && other === '-')

/** Bytes that take new room in `base` when `top` goes down into it: over data it has already, data is written in place. */
export const newIn = (held: Holdings, top: string, base: string): number =>
  sum(held, top, base, (hold, other) => hold === 'd' && other !== 'd')

/** Either way to merge a layer and its one child. Of a child that a guest writes only its file says what it holds by now. */
export const mergeCosts = (held: Holdings, layer: string, child: Pick<MergeChild, 'id' | 'openIn' | 'allocated'>): MergeCosts => ({
  up: missingIn(held, layer, child.id),
  down: child.openIn > 0 ? child.allocated : dataIn(held, child.id),
})

/** Bytes of data one sees through a chain, top first. */
export const dataSeen = (held: Holdings, chain: readonly string[]): number => {
  const at = chain.map((layer) => held.layers.indexOf(layer)).filter((index) => index >= 0)
  return held.rows.reduce((bytes, row) => {
    const seen = at.map((index) => row.holds[index]).find((hold) => hold !== '-')
    return seen === 'd' ? bytes + row.bytes : bytes
  }, 0)
}

/** After `from` went up into `into`, which keeps what it held itself; and, the same move, after a top went down: it wins. */
export function moved(held: Holdings, from: string, into: string, wins: 'into' | 'from'): Holdings {
  const [source, target] = [held.layers.indexOf(from), held.layers.indexOf(into)]
  if (source < 0 || target < 0) return held
  const bytes = new Map<string, number>()
  for (const row of held.rows) {
    const [above, below] = wins === 'into' ? [row.holds[target], row.holds[source]] : [row.holds[source], row.holds[target]]
    const hold = above === '-' ? below : above
    const holds = row.holds.slice(0, target) + hold + row.holds.slice(target + 1)
    bytes.set(holds, (bytes.get(holds) ?? 0) + row.bytes)
  }
  return { layers: held.layers, rows: rowsOf(bytes) }
}

const rowsOf = (bytes: ReadonlyMap<string, number>): Holdings['rows'] =>
  [...bytes].filter(([holds]) => /[dz]/.test(holds)).map(([holds, count]) => ({ holds, bytes: count }))

function sum(held: Holdings, one: string, other: string, counts: (hold: string, other: string) => boolean): number {
  const [first, second] = [held.layers.indexOf(one), held.layers.indexOf(other)]
  if (first < 0) return 0
  return held.rows.reduce((bytes, row) => (counts(row.holds[first] ?? '-', row.holds[second] ?? '-') ? bytes + row.bytes : bytes), 0)
}
