/** Which data of a chain may be moved where, and down to what a long one is shortened. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { baseForShortening, type ChainLink, pulledOut, whyNotCommit, whyNotMove, whyNotPull } from '../../src/domain/chain-rules.js'
import { layerRow } from '../support/rows.js'

const link = (id: string, patch: Partial<Omit<ChainLink, 'layer'>> & { layer?: object } = {}): ChainLink => {
  const { layer, ...rest } = patch
  return { layer: { ...layerRow({ id }), seq: 1, ...layer }, pins: [], children: [], tags: [], ...rest }
}
const pin = [{ kind: 'snapshot', id: 's' }]
const two = [layerRow({ id: 'x' }), layerRow({ id: 'y' })].map((row) => ({ ...row, seq: 1 }))

describe('a pull', () => {
  it('needs something between, and a top without tags', () => {
    const chain = [link('d'), link('c', { pins: pin }), link('b', { children: two }), link('a')]
    expect(whyNotPull(chain, null)).toBeUndefined()
    expect(whyNotPull(chain, 'b')).toBeUndefined()
    expect(whyNotPull(chain, 'c')?.sentence).toMatch(/nothing between/)
    expect(whyNotPull([link('a')], null)?.sentence).toMatch(/nothing between/)
    expect(whyNotPull(chain, 'd')?.sentence).toMatch(/not below/)
    expect(whyNotPull(chain, 'e')?.sentence).toMatch(/not below/)
    expect(whyNotPull([link('d', { tags: ['t'] }), link('c'), link('a')], null)?.sentence).toContain('"t"')
    expect(whyNotMove([link('d', { tags: ['t'] })])?.sentence).toContain('"t"')
  })
})

describe('a commit', () => {
  const why = (patch: Parameters<typeof link>[1], at: 'd' | 'c' | 'b' | 'a', top = 'c', base = 'a') =>
    whyNotCommit(
      ['d', 'c', 'b', 'a'].map((id) => link(id, id === at ? patch : {})),
      top,
      base,
    )
  it('spoils what lies below its top, so nobody may keep that or stand on it', () => {
    expect(why({}, 'a')).toBeUndefined()
    expect(why({ pins: pin }, 'a')).toMatchObject({ pinnedBy: pin })
    expect(why({ pins: pin }, 'b')).toMatchObject({ pinnedBy: pin })
    expect(why({ children: two }, 'b')?.sentence).toMatch(/other layers/)
    expect(why({ layer: { origin: 'image' } }, 'a')?.sentence).toMatch(/image/)
    expect(why({ layer: { format: 'raw' } }, 'a')?.sentence).toMatch(/raw/)
  })
  it('keeps the promise of its top, but not of tags inside it', () => {
    expect(why({ pins: pin }, 'c')).toBeUndefined()
    expect(why({ pins: pin }, 'd')).toBeUndefined()
    expect(why({ tags: ['t'] }, 'c')?.sentence).toContain('"t"')
    expect(why({ children: two }, 'c')?.sentence).toMatch(/several/)
  })
  it('goes down', () => {
    expect(why({}, 'a', 'a', 'c')?.sentence).toMatch(/not below/)
    expect(why({}, 'a', 'c', 'c')?.sentence).toMatch(/not below/)
    expect(why({}, 'a', 'x', 'a')?.sentence).toMatch(/not below/)
  })
})

describe('shortening a chain', () => {
  const chainOf = (depth: number, image: number | undefined) =>
    Array.from({ length: depth }, (_, at) => ({ id: `${at}`, origin: at >= (image ?? depth) ? ('image' as const) : ('disk' as const) }))

  it('brings it to about half of what it may be, and never copies an image', () => {
    const depth = fc.integer({ min: 1, max: 60 })
    fc.assert(
      fc.property(
        depth,
        fc.integer({ min: 2, max: 40 }),
        fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
        (length, soft, image) => {
          const chain = chainOf(length, image)
          const base = baseForShortening(chain, soft)
          if (base === undefined) return
          const out = pulledOut(chain, base.id)
          expect(out.length).toBeGreaterThan(0)
          expect(out.every((layer) => layer.origin === 'disk')).toBe(true)
          const left = chain.length - out.length
          if (base.origin === 'disk') expect(left).toBe(Math.max(1, Math.floor(soft / 2)) + 1)
        },
      ),
    )
  })

  it('does something about every chain that is too long for another reason than its image', () => {
    for (let soft = 2; soft < 30; soft++) expect(baseForShortening(chainOf(soft + 1, undefined), soft)).toBeDefined()
    expect(baseForShortening(chainOf(5, 1), 2)).toBeUndefined()
  })
})
