/** Foretold merges: acted out on contents they move exactly the bytes that were told, and what is kept reads as before. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chainOf, childrenOf } from '../../src/domain/chain.js'
import { dataIn, dataSeen, type Extent, holdingsOf } from '../../src/domain/holdings.js'
import { foretell, type PlannedLayer, type RetirementStep } from '../../src/domain/retirement.js'

const BLOCK = 65536
const BLOCKS = 8
/** What a block of a layer says: data (a number) or zeroes (null). Not there: nothing. */
type Blocks = ReadonlyMap<number, number | null>
type Contents = Map<string, { parentId: string | null; blocks: Blocks }>

const extents = (blocks: Blocks): Extent[] =>
  [...blocks].sort(([a], [b]) => a - b).map(([block, value]) => ({ start: block * BLOCK, length: BLOCK, hold: value === null ? 'z' : 'd' }))
const heldBy = (contents: Contents) => holdingsOf(new Map([...contents].map(([id, { blocks }]) => [id, extents(blocks)])))
const view = (contents: Contents, id: string): (number | null)[] => {
  const chain = chainOf(
    [...contents].map(([layerId, { parentId }]) => ({ id: layerId, parentId })),
    id,
  )
  return Array.from({ length: BLOCKS }, (_, block) => {
    const holder = chain.find((layer) => contents.get(layer.id)?.blocks.has(block))
    return (holder && contents.get(holder.id)?.blocks.get(block)) ?? null
  })
}

/** Moves what a step says, and counts the data it moved. */
function act(contents: Contents, step: RetirementStep): number {
  const layer = contents.get(step.layerId)
  if (layer === undefined) throw new Error(`${step.layerId} is gone`)
  let copied = 0
  if (step.kind === 'pull') {
    for (const id of step.others) {
      const child = contents.get(id)
      if (child === undefined) throw new Error(`${id} is gone`)
      for (const [block, value] of layer.blocks) if (!child.blocks.has(block) && value !== null) copied += BLOCK
      contents.set(id, { parentId: layer.parentId, blocks: new Map([...layer.blocks, ...child.blocks]) })
    }
    contents.delete(step.layerId)
  }
  if (step.kind === 'commit') {
    const [top = ''] = step.others
    const blocks = contents.get(top)?.blocks ?? new Map()
    for (const value of blocks.values()) if (value !== null) copied += BLOCK
    contents.set(step.layerId, { ...layer, blocks: new Map([...layer.blocks, ...blocks]) })
    contents.delete(top)
  }
  if (step.kind === 'discard') contents.delete(step.layerId)
  return copied
}

const world = fc
  .array(
    fc.record({
      parent: fc.nat(),
      pinned: fc.boolean(),
      openIn: fc.integer({ min: 0, max: 2 }),
      blocks: fc.array(fc.tuple(fc.nat(BLOCKS - 1), fc.option(fc.nat(99))), { maxLength: BLOCKS }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((rows) => {
    const ids = rows.map((_, index) => `l${index}`)
    const parents = rows.map(({ parent }, index) => (parent % (index + 1) === index ? null : `l${parent % (index + 1)}`))
    const contents: Contents = new Map(
      rows.map((row, index) => [`l${index}`, { parentId: parents[index] ?? null, blocks: new Map(row.blocks) }]),
    )
    const layers = rows.map((row, index): PlannedLayer => {
      const isTop = !parents.includes(ids[index] ?? '')
      return {
        id: `l${index}`,
        parentId: parents[index] ?? null,
        format: 'qcow2',
        origin: 'disk',
        state: isTop ? 'top' : 'sealed',
        allocated: row.blocks.length * BLOCK,
        openIn: row.openIn,
        pins: isTop ? [`disk-${index}`] : row.pinned ? [`snapshot-${index}`] : [],
        tagPins: [],
        othersAbove: 0,
        askedEach: false,
      }
    })
    return { contents, layers }
  })

describe('what follows from letting go of layers, foretold', () => {
  it('keeps what all remaining pins show, and tells the bytes that are moved', () => {
    fc.assert(
      fc.property(world, fc.array(fc.nat(), { maxLength: 4 }), fc.constantFrom('share', 'each'), ({ contents, layers }, picks, several) => {
        const inner = layers.filter((layer) => layer.state === 'sealed')
        const released = [...new Set(picks.flatMap((pick) => (inner.length === 0 ? [] : [inner[pick % inner.length]?.id ?? ''])))]
        const pins = layers.filter((layer) => released.includes(layer.id)).flatMap((layer) => layer.pins)
        const before = new Map(layers.flatMap((layer) => layer.pins.map((pin) => [pin, view(contents, layer.id)] as const)))
        const told = foretell({ layers, held: heldBy(contents) }, { layerIds: released, pins, several: several as 'share' | 'each' })
        const now: Contents = new Map(contents)
        for (const step of told.steps) expect(act(now, step)).toBe(step.bytes)
        expect(new Set(told.after.layers.map(({ id, parentId }) => `${id} on ${parentId}`))).toEqual(
          new Set([...now].map(([id, { parentId }]) => `${id} on ${parentId}`)),
        )
        for (const [pin, was] of before) {
          if (pins.includes(pin)) continue
          const layer = told.after.layers.find((one) => one.pins.includes(pin))
          expect(view(now, layer?.id ?? '')).toEqual(was)
        }
        const held = heldBy(now)
        for (const id of now.keys()) {
          expect(dataIn(told.after.held, id)).toBe(dataIn(held, id))
          const chain = chainOf(told.after.layers, id).map((layer) => layer.id)
          expect(dataSeen(told.after.held, chain)).toBe(dataSeen(held, chain))
        }
        expect(told.bytesToCopy).toBe(told.steps.reduce((bytes, step) => bytes + step.bytes, 0))
        expect(told.extraAtPeak).toBeGreaterThanOrEqual(Math.max(0, -told.reclaimable))
      }),
      { numRuns: 500 },
    )
  })

  it('leaves no released layer that one alone stands on, but says why', () => {
    fc.assert(
      fc.property(world, fc.nat(), ({ contents, layers }, pick) => {
        const inner = layers.filter((layer) => layer.state === 'sealed')
        fc.pre(inner.length > 0)
        const layer = inner[pick % inner.length] as PlannedLayer
        const told = foretell({ layers, held: heldBy(contents) }, { layerIds: [layer.id], pins: layer.pins, several: 'share' })
        const left = told.after.layers.find((one) => one.id === layer.id)
        if (left?.state === 'sealed' && childrenOf(told.after.layers, layer.id).length <= 1) {
          expect(told.steps.find((step) => step.layerId === layer.id)).toMatchObject({ kind: 'wait', reason: expect.any(String) })
        }
      }),
    )
  })

  const layer = (id: string, parentId: string | null, patch: Partial<PlannedLayer> = {}): PlannedLayer => ({
    id,
    parentId,
    format: 'qcow2',
    origin: 'disk',
    state: 'sealed',
    allocated: 0,
    openIn: 0,
    pins: [],
    tagPins: [],
    othersAbove: 0,
    askedEach: false,
    ...patch,
  })
  const data = (blocks: number): Extent[] => [{ start: 0, length: blocks * BLOCK, hold: 'd' }]

  it('counts a copy for each child, and the room all of them take before the layer goes', () => {
    const layers = [
      layer('gone', null, { allocated: 4 * BLOCK, pins: ['x'] }),
      layer('one', 'gone', { state: 'top', pins: ['d1'] }),
      layer('other', 'gone', { state: 'top', pins: ['d2'] }),
    ]
    const held = holdingsOf(
      new Map([
        ['gone', data(4)],
        ['one', data(1)],
        ['other', []],
      ]),
    )
    const told = foretell({ layers, held }, { layerIds: ['gone'], pins: ['x'], several: 'each' })
    expect(told).toMatchObject({ bytesToCopy: 7 * BLOCK, extraAtPeak: 7 * BLOCK, reclaimable: -3 * BLOCK })
    const shared = foretell({ layers, held }, { layerIds: ['gone'], pins: ['x'], several: 'share' })
    expect(shared).toMatchObject({ bytesToCopy: 0, steps: [{ kind: 'keep', reason: expect.stringContaining('2 layers share it') }] })
  })

  it('follows on to the layer below when its last but one child goes', () => {
    const layers = [
      layer('hidden', null, { allocated: 2 * BLOCK }),
      layer('leaf', 'hidden', { allocated: 3 * BLOCK, pins: ['x'] }),
      layer('top', 'hidden', { state: 'top', allocated: 8 * BLOCK, pins: ['d'], openIn: 1 }),
    ]
    const held = holdingsOf(
      new Map([
        ['hidden', data(2)],
        ['leaf', data(3)],
        ['top', [{ start: BLOCK, length: 8 * BLOCK, hold: 'd' as const }]],
      ]),
    )
    const told = foretell({ layers, held }, { layerIds: ['leaf'], pins: ['x'], several: 'share' })
    expect(told.steps).toMatchObject([
      { kind: 'discard', layerId: 'leaf', frees: 3 * BLOCK, followOn: false },
      { kind: 'pull', layerId: 'hidden', others: ['top'], bytes: BLOCK, live: true, followOn: true },
    ])
  })

  it('does not merge into what goes as well', () => {
    const layers = [layer('base', null, { pins: ['b'] }), layer('inner', 'base', { pins: ['x'] }), layer('leaf', 'inner', { pins: ['y'] })]
    const held = holdingsOf(
      new Map([
        ['base', data(1)],
        ['inner', data(2)],
        ['leaf', data(3)],
      ]),
    )
    const told = foretell({ layers, held }, { layerIds: ['leaf', 'inner'], pins: ['x', 'y'], several: 'share' })
    expect(told.steps.map(({ kind, layerId }) => `${kind} ${layerId}`)).toEqual(['discard leaf', 'discard inner'])
  })
})
