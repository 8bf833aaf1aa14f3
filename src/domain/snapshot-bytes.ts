/**
 * Whose bytes a snapshot's are (N-13). Of all it shows, exclusive is what no one else would see any more if it went: at that
 * address every other view is served by another layer, or by none. The rest it shares.
 */
import { chainOf, type Link } from './chain.js'
import type { Holdings } from './holdings.js'

export interface Ownership {
  readonly exclusive: number
  readonly shared: number
}

/** `views`: the layers as which others see the tree. */
export function ownershipOf(held: Holdings, layers: readonly Link[], layerId: string, views: readonly string[]): Ownership {
  const columns = (id: string): number[] => chainOf(layers, id).map((layer) => held.layers.indexOf(layer.id))
  const mine = columns(layerId)
  const others = views.map(columns)
  const servedBy = (holds: string, chain: readonly number[]): number => chain.find((column) => (holds[column] ?? '-') !== '-') ?? -1
  let [exclusive, shared] = [0, 0]
  for (const { holds, bytes } of held.rows) {
    const source = servedBy(holds, mine)
    if (holds[source] !== 'd') continue
    if (others.some((chain) => servedBy(holds, chain) === source)) shared += bytes
    else exclusive += bytes
  }
  return { exclusive, shared }
}
