import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { afterCommit, afterPull, chainOf, childrenOf, descendantsOf } from '../../src/domain/chain.js'
import { type MergeChild, planMerge } from '../../src/domain/merge-plan.js'

/** The content model: a layer is a parent and the blocks it holds; a view is the first hit down the chain. */
interface Model {
  id: string
  parentId: string | null
  blocks: ReadonlyMap<number, number>
}
const BLOCKS = 6
const view = (layers: readonly Model[], id: string): (number | undefined)[] => {
  const chain = chainOf(layers, id)
  return Array.from({ length: BLOCKS }, (_, block) => chain.find((layer) => layer.blocks.has(block))?.blocks.get(block))
}
const forest = fc
  .array(fc.record({ parent: fc.nat(), blocks: fc.array(fc.tuple(fc.nat(BLOCKS - 1), fc.nat(99)), { maxLength: BLOCKS }) }), {
    minLength: 1,
    maxLength: 12,
  })
  .map((rows) =>
    rows.map((row, index): Model => {
      const up = row.parent % (index + 1)
      return { id: `l${index}`, parentId: up === index ? null : `l${up}`, blocks: new Map(row.blocks) }
    }),
  )
const child = (patch: Partial<MergeChild> = {}): MergeChild => ({
  id: 'c',
  format: 'qcow2',
  state: 'top',
  allocated: 1,
  openIn: 0,
  holdsTags: false,
  ...patch,
})
const facts = { format: 'qcow2', origin: 'disk', isPinned: false, allocated: 10, several: 'share' } as const

describe('merging in a tree of layers', () => {
  it('keeps what every remaining layer shows when a layer is pulled up into its children', () => {
    fc.assert(
      fc.property(forest, fc.nat(), (layers, pick) => {
        const gone = layers[pick % layers.length] as Model
        const moved = layers.map((layer) =>
          layer.parentId === gone.id ? { ...layer, blocks: new Map([...gone.blocks, ...layer.blocks]) } : layer,
        )
        const after = afterPull(moved, gone.id)
        for (const layer of after) expect(view(after, layer.id)).toEqual(view(layers, layer.id))
      }),
    )
  })

  it('keeps what every remaining layer shows when an only child goes down, and the base then reads as that child did', () => {
    fc.assert(
      fc.property(forest, fc.nat(), (layers, pick) => {
        const top = layers[pick % layers.length] as Model
        fc.pre(top.parentId !== null && childrenOf(layers, top.parentId).length === 1)
        const base = top.parentId
        const moved = layers.map((layer) => (layer.id === base ? { ...layer, blocks: new Map([...layer.blocks, ...top.blocks]) } : layer))
        const after = afterCommit(moved, top.id)
        for (const layer of after) expect(view(after, layer.id)).toEqual(view(layers, layer.id === base ? top.id : layer.id))
      }),
    )
  })

  it('finds as descendants exactly the layers whose chain runs through a layer', () => {
    fc.assert(
      fc.property(forest, fc.nat(), (layers, pick) => {
        const { id } = layers[pick % layers.length] as Model
        const through = layers.filter((layer) => layer.id !== id && chainOf(layers, layer.id).some((l) => l.id === id))
        expect(new Set(descendantsOf(layers, id))).toEqual(new Set(through))
      }),
    )
  })

  it('refuses to walk a chain with a hole or a cycle', () => {
    expect(() => chainOf([{ id: 'a', parentId: 'b' }], 'a')).toThrow('missing')
    expect(() =>
      chainOf(
        [
          { id: 'a', parentId: 'b' },
          { id: 'b', parentId: 'a' },
        ],
        'a',
      ),
    ).toThrow('ancestor')
  })
})

describe('the plan of a merge', () => {
  it('goes the way that moves fewer bytes', () => {
    expect(planMerge({ ...facts, children: [child()] })).toEqual({ kind: 'commit', top: 'c', bytes: 1 })
    expect(planMerge({ ...facts, children: [child({ allocated: 11 })] })).toEqual({ kind: 'pull', into: ['c'], bytes: 10 })
  })

  it('never commits into a raw layer, below a sealed one, or where there are siblings', () => {
    fc.assert(
      fc.property(
        fc.record({
          format: fc.constantFrom('qcow2', 'raw'),
          origin: fc.constantFrom('disk', 'image'),
          isPinned: fc.boolean(),
          allocated: fc.nat(20),
          several: fc.constantFrom('share', 'each'),
          children: fc.array(
            fc.record({
              id: fc.uuid(),
              format: fc.constant('qcow2'),
              state: fc.constantFrom('planned', 'top', 'sealed', 'merging', 'dropping'),
              allocated: fc.nat(20),
              openIn: fc.nat(2),
              holdsTags: fc.boolean(),
            }),
            { maxLength: 3 },
          ),
        }),
        (world) => {
          const plan = planMerge(world as never)
          if (plan.kind === 'commit') {
            expect(world.format).toBe('qcow2')
            expect(world.children.map((c) => c.state)).toEqual(['top'])
          }
          if (plan.kind !== 'keep') expect(world.isPinned).toBe(false)
          if (plan.kind === 'drop') expect(world.children).toEqual([])
          if (plan.kind === 'pull' || plan.kind === 'commit') expect(world.origin).toBe('disk')
          if (plan.kind === 'pull' || plan.kind === 'commit') expect(world.children.some((c) => c.holdsTags)).toBe(false)
          if (plan.kind === 'pull') expect(world.children.every((c) => c.openIn <= 1)).toBe(true)
        },
      ),
    )
  })

  it('waits while the layer above is open in several guests', () => {
    expect(planMerge({ ...facts, children: [child({ state: 'sealed', openIn: 2 })] }).kind).toBe('deferred')
  })

  it('waits while the layer above holds an internal snapshot, whichever way would be cheaper', () => {
    const reason = 'the layer above it holds an internal snapshot'
    for (const allocated of [1, 99])
      expect(planMerge({ ...facts, children: [child({ holdsTags: true, allocated })] })).toEqual({ kind: 'deferred', reason })
    const children = [child({ id: 'a' }), child({ id: 'b', state: 'sealed', holdsTags: true })]
    expect(planMerge({ ...facts, children, several: 'each' })).toEqual({ kind: 'deferred', reason })
  })

  it('leaves a layer with several children shared, or merges it into each on request', () => {
    const children = [child({ id: 'a', allocated: 99 }), child({ id: 'b', state: 'sealed' })]
    expect(planMerge({ ...facts, children }).kind).toBe('keep')
    expect(planMerge({ ...facts, children, several: 'each' })).toEqual({ kind: 'pull', into: ['a', 'b'], bytes: 20 })
  })
})
