/**
 * Chain arithmetic: layers form trees by `parentId`, a chain is the path from one layer down to its base. What a
 * reader of a layer sees at any block is the first layer of its chain that holds it: everything here keeps that view.
 */
import type { Layer } from './disk.js'

export type Link = Pick<Layer, 'id' | 'parentId'>

/** From the layer itself down to its base. Throws on a missing parent or a cycle: such tables must not be acted on. */
export function chainOf<L extends Link>(layers: readonly L[], id: string): L[] {
  const byId = new Map(layers.map((layer) => [layer.id, layer]))
  const chain: L[] = []
  for (let at: string | null = id; at !== null; ) {
    const layer = byId.get(at)
    if (layer === undefined) throw new Error(`layer ${at} is missing from its chain`)
    if (chain.includes(layer)) throw new Error(`layer ${at} is its own ancestor`)
    chain.push(layer)
    at = layer.parentId
  }
  return chain
}

export const childrenOf = <L extends Link>(layers: readonly L[], id: string): L[] => layers.filter((layer) => layer.parentId === id)

/** Every layer above this one, nearest first. */
export function descendantsOf<L extends Link>(layers: readonly L[], id: string): L[] {
  const found: L[] = []
  for (let edge = childrenOf(layers, id); edge.length > 0; edge = edge.flatMap((layer) => childrenOf(layers, layer.id))) found.push(...edge)
  return found
}

/** Tables after the data of `gone` went up into each of its children: they stand on its parent, and it is no more. */
export function afterPull<L extends Link>(layers: readonly L[], gone: string): L[] {
  const parentId = chainOf(layers, gone)[0]?.parentId ?? null
  return layers.filter((layer) => layer.id !== gone).map((layer) => (layer.parentId === gone ? { ...layer, parentId } : layer))
}

/** Tables after `top` went down into its parent: whoever stood on `top` stands on the parent, which now reads as `top` did. */
export function afterCommit<L extends Link>(layers: readonly L[], top: string): L[] {
  const into = chainOf(layers, top)[0]?.parentId ?? null
  if (into === null) throw new Error(`layer ${top} has nothing below it`)
  return layers.filter((layer) => layer.id !== top).map((layer) => (layer.parentId === top ? { ...layer, parentId: into } : layer))
}
