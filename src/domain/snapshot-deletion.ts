/**
 * Which server snapshots go when one is deleted, and why none may. The four modes of deletion differ only in what becomes
 * of those that grew from it: merging keeps them (so it never has victims, and forcing it changes nothing), discarding
 * takes them along, but only where that is forced. The present of the server is kept in every mode.
 */
import type { ServerSnapshot, ServerSnapshotStatus } from './server-snapshot.js'
import { descendantsIn } from './snapshot-tree.js'

export const DELETE_MODES = ['merge', 'merge_force', 'discard', 'discard_force'] as const
export type DeleteMode = (typeof DELETE_MODES)[number]

/** From where a deletion may begin. One that is `deleting` is on its way out: it neither goes again nor is it in the way. */
export const DELETABLE: readonly ServerSnapshotStatus[] = ['available', 'error', 'error_deleting']

export type Verdict =
  | { readonly kind: 'goes'; readonly all: readonly ServerSnapshot[] }
  /** busy: one is in use. protected: one must stay. victims: others would go as well, and that was not asked for. */
  | { readonly kind: 'busy' | 'protected' | 'victims'; readonly named: readonly ServerSnapshot[] }

/** `going`: those whose deletion is accepted already. */
export function judge(
  all: readonly ServerSnapshot[],
  snapshot: ServerSnapshot,
  mode: DeleteMode,
  going: ReadonlySet<string> = new Set(),
): Verdict {
  const above = (mode === 'discard' || mode === 'discard_force' ? descendantsIn(all, snapshot.id) : []).filter(
    ({ id, status }) => status !== 'deleting' && !going.has(id),
  )
  if (mode === 'discard' && above.length > 0) return { kind: 'victims', named: above }
  const goes = [...above.toReversed(), snapshot]
  const busy = goes.filter(({ status }) => !DELETABLE.includes(status))
  if (busy.length > 0) return { kind: 'busy', named: busy }
  const kept = goes.filter((one) => one.protected)
  return kept.length > 0 ? { kind: 'protected', named: kept } : { kind: 'goes', all: goes }
}

/** Whatever grew from another comes before it, so that what is deleted together is in nobody's way. */
export function leavesFirst(all: readonly ServerSnapshot[], wanted: readonly ServerSnapshot[]): ServerSnapshot[] {
  const above = new Map(wanted.map((snapshot) => [snapshot.id, descendantsIn(all, snapshot.id).length]))
  return wanted.toSorted((a, b) => (above.get(a.id) ?? 0) - (above.get(b.id) ?? 0))
}
