/** Pictures: whole SVG whatever names are given, everything that is there drawn once, nothing over anything else. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chainSvg } from '../../api/views/strata/chain-svg.js'
import { treeSvg } from '../../api/views/strata/tree-svg.js'
import type { Layer } from '../../src/domain/disk.js'
import type { Server } from '../../src/domain/server.js'
import type { ShownChain, ShownLayer } from '../../src/services/strata/chain-view.js'
import type { SnapshotTree } from '../../src/services/strata/server-snapshot-tree.js'
import { layerRow, serverRow, serverSnapshotRow } from '../support/rows.js'

/** Every element closed in order, attributes quoted, no text that could be taken for either. */
function isWhole(svg: string): boolean {
  const open: string[] = []
  const rest = svg.replaceAll(
    /<(\/?)([a-z]+)((?: [a-zA-Z-]+="[^"<&]*(?:&(?:amp|lt|gt|quot|#39);[^"<&]*)*")*)(\/?)>/g,
    (_, end, name, __, alone) => {
      if (end === '/') expect(open.pop()).toBe(name)
      else if (alone === '') open.push(name)
      return ''
    },
  )
  return open.length === 0 && !/[<]|&(?!(amp|lt|gt|quot|#39);)/.test(rest) && [...svg].every(isWritable)
}

const isWritable = (char: string): boolean => {
  const point = char.codePointAt(0) ?? 0
  return '\t\n\r'.includes(char) || (point >= 0x20 && !(point >= 0xd800 && point < 0xe000) && point !== 0xfffe && point !== 0xffff)
}

function tree(parents: readonly (number | null)[], name: (index: number) => string, current: number | null): SnapshotTree {
  const id = (index: number): string => `s${index}`
  const nodes = parents.map((parent, index) => ({
    snapshot: {
      ...serverSnapshotRow({ id: id(index), name: name(index), status: 'available', parentId: parent === null ? null : id(parent) }),
      seq: index,
    },
    children: parents.flatMap((other, at) => (other === index ? id(at) : [])),
    isCurrent: index === current,
    disks: [],
    memory: undefined,
  }))
  const server = { ...serverRow({ name: name(0), currentSnapshotId: current === null ? null : id(current) }), seq: 1 } as Server
  return { server, nodes, roots: parents.flatMap((parent, index) => (parent === null ? id(index) : [])), present: [] }
}

const boxes = (svg: string): { x: number; y: number; width: number; height: number }[] =>
  [...svg.matchAll(/<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" rx="8"/g)].map(([, x, y, width, height]) => ({
    x: Number(x),
    y: Number(y),
    width: Number(width),
    height: Number(height),
  }))

const shape = fc
  .array(fc.option(fc.nat()), { minLength: 1, maxLength: 20 })
  .map((picks) => picks.map((pick, index) => (pick === null || index === 0 ? null : pick % index)))

describe('the picture of a tree', () => {
  it('draws every snapshot and the present once, apart from each other and within the picture', () => {
    fc.assert(
      fc.property(shape, fc.option(fc.nat()), (parents, pick) => {
        const svg = treeSvg(tree(parents, (index) => `n${index}`, pick === null ? null : pick % parents.length))
        const drawn = boxes(svg)
        expect(drawn).toHaveLength(parents.length + 1)
        const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(svg) ?? []
        for (const [index, one] of drawn.entries()) {
          expect(one.x + one.width <= Number(width) && one.y + one.height <= Number(height)).toBe(true)
          for (const other of drawn.slice(index + 1))
            expect(Math.abs(one.x - other.x) >= one.width || Math.abs(one.y - other.y) >= one.height).toBe(true)
        }
        expect(svg.match(/<path/g)?.length ?? 0).toBe(parents.filter((parent) => parent !== null).length + (pick === null ? 0 : 1))
      }),
    )
  })

  it('stays a picture whatever a name says', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.string({ maxLength: 40 }), fc.constant(ATTACK)), (name) => {
        expect(isWhole(treeSvg(tree([null, 0, 0], () => name, 1)))).toBe(true)
      }),
      { examples: [[ATTACK], ['\u0000\u001b\ud800\uffff'], [']]>'], ['&amp;&#0;'], ['\u202eevil']] },
    )
    const svg = treeSvg(tree([null], () => ATTACK, 0))
    expect(svg).not.toContain('<script')
    expect(svg).not.toContain('<img')
  })

  it('is drawn of a server without snapshots, and of rows that go in a circle', () => {
    expect(boxes(treeSvg(tree([], () => 'vm', null)))).toHaveLength(1)
    const circle = tree([1, 0], (index) => `n${index}`, 1)
    expect(boxes(treeSvg(circle))).toHaveLength(3)
  })
})

const ATTACK = '</text><script>alert(1)</script><img src=x onerror="alert(1)">&lt;\'"'

const layer = (patch: Partial<ShownLayer>, row: Partial<Layer> = {}): ShownLayer => ({
  layer: { ...layerRow(row), seq: 1 } as Layer,
  pool: 'default',
  allocated: 5 * 1024 ** 3,
  children: 0,
  pinnedBy: [],
  internalSnapshots: [],
  open: false,
  ...patch,
})
const chain = (layers: readonly ShownLayer[]): ShownChain =>
  ({
    disk: { id: 'd' },
    volume: { id: 'v', name: ATTACK },
    policy: { softDepth: 16, hardDepth: 32 },
    jobs: [],
    layers,
  }) as unknown as ShownChain

describe('the picture of a chain', () => {
  it('tells of each layer its size, who keeps it, and what else stands on it', () => {
    const svg = chainSvg(
      chain([
        layer({ pinnedBy: [{ kind: 'volume', id: 'v', name: 'data' }], open: true }, { state: 'top' }),
        layer(
          { children: 3, pinnedBy: [{ kind: 'server_snapshot', id: 's', name: ATTACK }], internalSnapshots: ['s-1'] },
          { state: 'sealed' },
        ),
        layer({ allocated: null, children: 1, pinnedBy: [{ kind: 'image', id: null, name: null }] }, { origin: 'image', format: 'raw' }),
        layer({
          children: 1,
          pinnedBy: Array.from({ length: 9 }, (_, index) => ({ kind: 'snapshot' as const, id: `${index}`, name: null })),
        }),
      ]),
    )
    for (const words of [
      'the present writes here',
      '2 other layers stand on it',
      'of another project',
      'its file is missing',
      '5.0 GiB of',
      'and 3 more',
      '1 internal: s-1',
    ])
      expect(svg).toContain(words)
    expect(isWhole(svg)).toBe(true)
    expect(boxes(svg)).toHaveLength(4)
  })
})
