/**
 * Which layers merge where, and what it costs. A layer nobody pins is removed by moving data: its own up into its
 * children ("pull"), or its only child's down into it ("commit"), whichever moves fewer bytes and is allowed. A commit
 * spoils its base from the first copied byte, so the base must have just that child and no pin.
 *
 * A child that holds someone's internal snapshot can do neither: going down it would take the tag with it, and what the tag
 * reads from below would be lost once the child stood on something else.
 */
export interface MergeChild {
  readonly id: string
  readonly format: 'qcow2' | 'raw'
  readonly state: 'planned' | 'top' | 'sealed' | 'merging' | 'dropping'
  /** Bytes allocated. */
  readonly allocated: number
  /** Running guests that have it open. A top is written by its one; anything below is open read-only. */
  readonly openIn: number
  /** A tag in it is a snapshot's. */
  readonly holdsTags: boolean
}

export interface MergeFacts {
  readonly format: 'qcow2' | 'raw'
  readonly origin: 'disk' | 'image'
  readonly isPinned: boolean
  readonly allocated: number
  readonly children: readonly MergeChild[]
  /** Bytes either way would copy, where its one child was looked into; else the bytes allocated decide. */
  readonly costs?: MergeCosts | undefined
  /** What becomes of a layer with several children: stays shared, or is merged into each. */
  readonly several: 'share' | 'each'
}

export interface MergeCosts {
  readonly up: number
  readonly down: number
}

export type MergePlan =
  | { readonly kind: 'keep' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'pull'; readonly into: readonly string[]; readonly bytes: number }
  | { readonly kind: 'commit'; readonly top: string; readonly bytes: number }
  | { readonly kind: 'deferred'; readonly reason: string }

export function planMerge(facts: MergeFacts): MergePlan {
  const { children } = facts
  if (facts.isPinned) return { kind: 'keep' }
  if (children.length === 0) return { kind: 'drop' }
  if (facts.origin === 'image' || (children.length > 1 && facts.several === 'share')) return { kind: 'keep' }
  const busy = children.find((child) => child.state !== 'top' && child.state !== 'sealed')
  if (busy !== undefined) return { kind: 'deferred', reason: `the layer above it is ${busy.state}` }
  if (children.some((child) => child.holdsTags)) return { kind: 'deferred', reason: 'the layer above it holds an internal snapshot' }
  const [only] = children
  if (children.length === 1 && only !== undefined && isCheaperDown(facts, only))
    return { kind: 'commit', top: only.id, bytes: only.allocated }
  if (children.some((child) => child.openIn > 1))
    return { kind: 'deferred', reason: 'the layer above it is in use by several running servers' }
  if (children.some((child) => child.format !== 'qcow2')) return { kind: 'deferred', reason: 'the layer above it cannot take its data' }
  return { kind: 'pull', into: children.map((child) => child.id), bytes: facts.allocated * children.length }
}

/** Only a disk's active top goes down: what is sealed is someone's snapshot or someone's base, and its place stays. */
const isCheaperDown = (facts: MergeFacts, child: MergeChild): boolean =>
  facts.format === 'qcow2' &&
  child.state === 'top' &&
  child.openIn <= 1 &&
  (facts.costs?.down ?? child.allocated) < (facts.costs?.up ?? facts.allocated)
