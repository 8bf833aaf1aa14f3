/** Whose bytes are whose: exclusive is what nobody else would see any more, shared is what others see too. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chainOf } from '../../src/domain/chain.js'
import type { Hold } from '../../src/domain/holdings.js'
import { ownershipOf } from '../../src/domain/snapshot-bytes.js'

const MIB = 2 ** 20
/** a ◄── b ◄── c, and d beside c. */
const LAYERS = [
  { id: 'a', parentId: null },
  { id: 'b', parentId: 'a' },
  { id: 'c', parentId: 'b' },
  { id: 'd', parentId: 'b' },
]
const held = (rows: Record<string, number>) => ({
  layers: LAYERS.map((layer) => layer.id),
  rows: Object.entries(rows).map(([holds, bytes]) => ({ holds, bytes: bytes * MIB })),
})
const own = (rows: Record<string, number>, views: string[], layer = 'b') => {
  const { exclusive, shared } = ownershipOf(held(rows), LAYERS, layer, views)
  return [exclusive / MIB, shared / MIB]
}

describe('bytes a snapshot shows', () => {
  it('are its own where every other view is served by a layer above', () => {
    expect(own({ '-ddd': 4 }, ['c', 'd'])).toEqual([4, 0])
    expect(own({ '-dd-': 4 }, ['c', 'd'])).toEqual([0, 4])
    expect(own({ '-dzd': 4 }, ['c', 'd'])).toEqual([4, 0])
  })

  it('are shared with whoever looks through to the same layer', () => {
    expect(own({ 'd---': 1, 'dd--': 2, '-d--': 8 }, ['c', 'd', 'a'])).toEqual([0, 11])
    expect(own({ 'd-dd': 1 }, ['c', 'd'])).toEqual([1, 0])
    expect(own({ 'd-dd': 1 }, ['a', 'c', 'd'])).toEqual([0, 1])
  })

  it('are none where it shows zeroes or nothing', () => {
    expect(own({ 'dz--': 3, '--dd': 5, '----': 7 }, ['a', 'c'])).toEqual([0, 0])
  })

  it('and are all of what it shows, divided without rest', () => {
    const hold = fc.constantFrom<Hold>('d', 'z', '-')
    const rows = fc.array(fc.tuple(fc.tuple(hold, hold, hold, hold), fc.integer({ min: 1, max: 9 })), { maxLength: 12 })
    fc.assert(
      fc.property(rows, fc.subarray(['a', 'c', 'd']), fc.constantFrom('a', 'b', 'c', 'd'), (drawn, views, layer) => {
        const all = { layers: ['a', 'b', 'c', 'd'], rows: drawn.map(([holds, bytes]) => ({ holds: holds.join(''), bytes })) }
        const shows = (id: string, holds: string) =>
          chainOf(LAYERS, id)
            .map((one) => ({ by: one.id, hold: holds[all.layers.indexOf(one.id)] }))
            .find((one) => one.hold !== '-')
        const seen = all.rows.filter(({ holds }) => shows(layer, holds)?.hold === 'd')
        const lost = seen.filter(({ holds }) => !views.some((view) => shows(view, holds)?.by === shows(layer, holds)?.by))
        const sum = (some: typeof seen) => some.reduce((bytes, row) => bytes + row.bytes, 0)
        expect(ownershipOf(all, LAYERS, layer, views)).toEqual({ exclusive: sum(lost), shared: sum(seen) - sum(lost) })
      }),
    )
  })
})
