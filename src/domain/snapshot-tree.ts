/** Server snapshots as a tree by `parentId`: a parent that is no more leaves a root. */
import type { ServerSnapshot } from './server-snapshot.js'

type Node = Pick<ServerSnapshot, 'id' | 'parentId'>

export const childrenIn = <N extends Node>(all: readonly N[], id: string): N[] => all.filter((node) => node.parentId === id)

/** Whatever grew from it, nearest first. A cycle, which must not be, is walked once. */
export function descendantsIn<N extends Node>(all: readonly N[], id: string): N[] {
  const found = new Set<N>()
  for (let edge = childrenIn(all, id); edge.length > 0; ) {
    const fresh = edge.filter((node) => node.id !== id && !found.has(node))
    for (const node of fresh) found.add(node)
    edge = fresh.flatMap((node) => childrenIn(all, node.id))
  }
  return [...found]
}

export const rootsIn = <N extends Node>(all: readonly N[]): N[] => {
  const ids = new Set(all.map((node) => node.id))
  return all.filter((node) => node.parentId === null || !ids.has(node.parentId))
}

export const leavesIn = <N extends Node>(all: readonly N[]): N[] => {
  const parents = new Set(all.map((node) => node.parentId))
  return all.filter((node) => !parents.has(node.id))
}
