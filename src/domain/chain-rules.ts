/**
 * Which data of a chain may be moved where, and what stands in the way: for a caller that asks, and once more for the job
 * when its turn has come. A chain is told from top to base.
 */
import type { Layer } from './disk.js'

export interface ChainLink {
  readonly layer: Layer
  /** Who keeps it besides its children. */
  readonly pins: readonly { readonly kind: string; readonly id: string }[]
  readonly children: readonly Layer[]
  /** Internal snapshots inside it, by their names. */
  readonly tags: readonly string[]
}

export interface Obstacle {
  readonly sentence: string
  /** Who pins what would change. */
  readonly pinnedBy?: ChainLink['pins']
}

/** Up into the top. A stream changes what the top stands on, so a tag inside it would lose what it read from below. */
export function whyNotPull(links: readonly ChainLink[], baseLayerId: string | null): Obstacle | undefined {
  const [top] = links
  const at = baseLayerId === null ? links.length : links.findIndex((link) => link.layer.id === baseLayerId)
  if (top === undefined || at === 0 || (baseLayerId !== null && at < 0)) return { sentence: notBelow(baseLayerId) }
  if (at < 2) return { sentence: 'There is nothing between the top layer of the disk and what it is to stand on.' }
  return tagged(top)
}

/** Down into the base, which is spoilt for everybody else from the first byte on; so is what lies between. */
export function whyNotCommit(links: readonly ChainLink[], topLayerId: string, baseLayerId: string): Obstacle | undefined {
  const from = links.findIndex((link) => link.layer.id === topLayerId)
  const to = links.findIndex((link) => link.layer.id === baseLayerId)
  const [top, ...below] = from < 0 ? [] : links.slice(from, to + 1)
  if (top === undefined || to < 0) return { sentence: notBelow(from < 0 ? topLayerId : baseLayerId) }
  if (below.length === 0) return { sentence: 'The layer to commit into is not below the layer to be committed.' }
  const pinned = below.find((link) => link.pins.length > 0)
  if (pinned !== undefined)
    return { sentence: `Layer ${pinned.layer.id} is kept by ${listed(pinned.pins)}: it cannot be changed.`, pinnedBy: pinned.pins }
  const shared = below.find((link) => link.children.length > 1)
  if (shared !== undefined) return { sentence: `Layer ${shared.layer.id} has other layers standing on it: it cannot be changed.` }
  if (top.children.length > 1) return { sentence: `Layer ${top.layer.id} has several layers standing on it: none of them may lose it.` }
  if (below.some((link) => link.layer.origin === 'image')) return { sentence: 'The bytes of an image are never changed.' }
  if (below.at(-1)?.layer.format === 'raw') return { sentence: 'A raw layer is never committed into.' }
  return tagged(top)
}

/** Into a new file, to which the disk moves. */
export const whyNotMove = (links: readonly ChainLink[]): Obstacle | undefined =>
  links[0] === undefined ? { sentence: 'The disk has no layer.' } : tagged(links[0])

/** The layers that a pull takes out of the disk's way. */
export function pulledOut<L extends { readonly id: string }>(chain: readonly L[], baseLayerId: string | null): L[] {
  const at = chain.findIndex((layer) => layer.id === baseLayerId)
  return chain.slice(1, at < 0 ? chain.length : at)
}

/**
 * What a chain that has become too long is pulled down to: half of what it may be, of its older layers, which hold most.
 * Only the upper ones are copied, so each snapshot's data is copied about once. Never into an image's bytes: those are shared.
 */
export function baseForShortening<L extends Pick<Layer, 'id' | 'origin'>>(chain: readonly L[], softDepth: number): L | undefined {
  const kept = Math.max(1, Math.floor(softDepth / 2))
  const image = chain.findIndex((layer, index) => index > 0 && layer.origin === 'image')
  const at = Math.min(chain.length - kept, image < 0 ? chain.length : image)
  return at < 2 ? undefined : chain[at]
}

const notBelow = (layerId: string | null): string => `Layer ${layerId} is not below the top layer of the disk.`

const tagged = ({ layer, tags }: ChainLink): Obstacle | undefined =>
  tags.length === 0
    ? undefined
    : { sentence: `Layer ${layer.id} holds the internal snapshot ${tags.map((name) => `"${name}"`).join(', ')}: its data cannot be moved.` }

const listed = (pins: ChainLink['pins']): string => pins.map(({ kind, id }) => `${kind.replace('_', ' ')} ${id}`).join(', ')
