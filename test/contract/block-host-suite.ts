/** What every BlockHost promises of its nodes, whoever holds the images open. `block-host.test.ts` names them. */
import { describe, expect, it } from 'vitest'
import type { LayerFile } from '../../src/ports/block.js'
import { node, outcome, type StartRig, useRigs } from '../support/block-rig.js'
import {
  checkImage,
  header,
  MIB,
  makeChain,
  makeLayer,
  mismatches,
  type Pattern,
  taggedMismatches,
  writePatterns,
} from '../support/qemu.js'

export function blockHostSuite(name: string, start: StartRig): void {
  describe(`block host: ${name}`, () => {
    const { dir, open } = useRigs(start)

    it('opens and closes a layer once, however often it is asked', async () => {
      const { host } = await open(await makeChain(dir(), 4, [[]]))
      const before = await host.nodes()
      const [top, base] = await makeChain(dir(), 4, [[], []])
      if (top === undefined || base === undefined) throw new Error('no chain')
      for (const _ of [1, 2]) await host.open(base, null)
      for (const _ of [1, 2]) await host.open(top, node(base))
      const nodes = await host.nodes()
      expect(nodes.find((n) => n.node === node(top))).toMatchObject({
        driver: 'qcow2',
        file: top.path,
        backing: node(base),
        virtualSize: 4 * MIB,
      })
      expect(nodes.find((n) => n.node === node(base))).toMatchObject({ file: base.path, backing: undefined })
      expect(await outcome(host.close(base.layerId))).toBe('refused')
      for (const _ of [1, 2]) await host.close(top.layerId)
      for (const _ of [1, 2]) await host.close(base.layerId)
      expect((await host.nodes()).map((n) => n.node).sort()).toEqual(before.map((n) => n.node).sort())
    })

    it('leaves nothing open of a layer it cannot open', async () => {
      const { host } = await open(await makeChain(dir(), 4, [[]]))
      const before = (await host.nodes()).length
      const good = await makeLayer(dir(), 4)
      expect(await outcome(host.open({ ...good, path: `${good.path}.none` }, null))).toBe('refused')
      expect(await outcome(host.open(good, 'q-nobody'))).toBe('refused')
      expect(await host.nodes()).toHaveLength(before)
    })

    it('refuses another file under the name of an open layer', async () => {
      const { host } = await open(await makeChain(dir(), 4, [[]]))
      const [one, two] = [await makeLayer(dir(), 4), await makeLayer(dir(), 4)]
      await host.open(one, null)
      expect(await outcome(host.open({ ...one, path: two.path }, null))).toBe('refused')
    })

    it('shares lower layers with another process', async () => {
      const [top, base] = await makeChain(dir(), 4, [[[0, 1, 7]], []])
      if (top === undefined || base === undefined) throw new Error('no chain')
      const other = await makeLayer(dir(), 4, base)
      await open([top, base])
      const { host } = await open([other, base])
      expect((await host.nodes()).find((n) => n.node === node(other))).toMatchObject({ backing: node(base) })
    })

    it.each([{ writable: true }, { writable: false }])('switches the tops of two disks at once ($writable)', async (options) => {
      const patterns: Pattern[] = [
        [0, 1, 11],
        [2, 1, 12],
      ]
      const chains = [await makeChain(dir(), 4, [patterns]), await makeChain(dir(), 4, [patterns])]
      const rig = await open(...chains)
      const switches: { from: string; to: string; overlay: LayerFile }[] = []
      for (const [top] of chains) {
        const overlay = await makeLayer(dir(), 4, top)
        await rig.host.open(overlay, null, options)
        switches.push({ from: node(top), to: node(overlay), overlay })
      }
      await rig.host.switchTops(switches)
      const nodes = await rig.host.nodes()
      for (const [index, { from, to, overlay }] of switches.entries()) {
        expect(nodes.find((n) => n.node === to)).toMatchObject({ backing: from, file: overlay.path })
        const diskId = rig.diskIds[index]
        if (diskId !== undefined) expect(await rig.host.topNode(diskId)).toBe(to)
      }
      await rig.end()
      for (const { overlay } of switches) expect(await mismatches(overlay.path, patterns)).toEqual([])
    })

    it('shares a sealed layer with another process at once', async () => {
      const [top] = await makeChain(dir(), 4, [[[0, 4, 13]]])
      if (top === undefined) throw new Error('no layer')
      const { host } = await open([top])
      const [overlay, clone] = [await makeLayer(dir(), 4, top), await makeLayer(dir(), 4, top)]
      await host.open(overlay, null, { writable: true })
      await host.switchTops([{ from: node(top), to: node(overlay) }])
      const other = await open([clone, top])
      await other.end()
      expect(await mismatches(clone.path, [[0, 4, 13]])).toEqual([])
    })

    it('switches no disk when one is refused', async () => {
      const chains = [await makeChain(dir(), 4, [[]]), await makeChain(dir(), 4, [[]])]
      const rig = await open(...chains)
      const [first, second] = chains.map(([top]) => top)
      const overlay = await makeLayer(dir(), 4, first)
      await rig.host.open(overlay, null, { writable: true })
      const result = rig.host.switchTops([
        { from: node(first), to: node(overlay) },
        { from: node(second), to: 'q-nobody' },
      ])
      expect(await outcome(result)).toBe('refused')
      expect((await rig.host.nodes()).find((n) => n.node === node(overlay))?.backing).toBeUndefined()
      if (rig.diskIds[0] !== undefined) expect(await rig.host.topNode(rig.diskIds[0])).toBe(node(first))
      await rig.host.close(overlay.layerId)
    })

    it('tags the tops of two disks at once, and what was there then can be read from the closed files', async () => {
      const chains = [await makeChain(dir(), 4, [[[0, 1, 51]]]), await makeChain(dir(), 4, [[[1, 1, 52]], [[2, 1, 53]]])]
      const rig = await open(...chains)
      const tops = chains.map(([top]) => top)
      const tags = tops.map((top) => ({ node: node(top), tag: 's-one' }))
      for (const _ of [1, 2]) await rig.host.takeTags(tags)
      for (const top of tops) expect((await rig.host.nodes()).find((n) => n.node === node(top))?.tags).toEqual(['s-one'])
      await rig.end()
      for (const top of tops) await writePatterns(top?.path ?? '', [[0, 4, 99]])
      expect(await taggedMismatches(tops[0]?.path ?? '', 's-one', [[0, 1, 51]])).toEqual([])
      const second: Pattern[] = [
        [1, 1, 52],
        [2, 1, 53],
        [3, 1, 0],
      ]
      expect(await taggedMismatches(tops[1]?.path ?? '', 's-one', second)).toEqual([])
      for (const top of tops) await checkImage(top?.path ?? '')
    })

    it('tags no disk when one is refused', async () => {
      const [one] = await makeChain(dir(), 4, [[]])
      const { host } = await open([one as LayerFile])
      const tags = [
        { node: node(one), tag: 's-one' },
        { node: 'q-nobody', tag: 's-one' },
      ]
      expect(await outcome(host.takeTags(tags))).toBe('refused')
      expect((await host.nodes()).find((n) => n.node === node(one))?.tags).toEqual([])
    })

    it('gives up a tag of a top, however often it is asked, and never one below an overlay', async () => {
      const [top] = await makeChain(dir(), 4, [[[0, 1, 54]]])
      if (top === undefined) throw new Error('no layer')
      const rig = await open([top])
      for (const tag of ['s-one', 's-two']) await rig.host.takeTags([{ node: node(top), tag }])
      for (const _ of [1, 2]) await rig.host.removeTag(node(top), 's-one')
      expect((await rig.host.nodes()).find((n) => n.node === node(top))?.tags).toEqual(['s-two'])
      const overlay = await makeLayer(dir(), 4, top)
      await rig.host.open(overlay, null, { writable: true })
      await rig.host.switchTops([{ from: node(top), to: node(overlay) }])
      expect(await outcome(rig.host.removeTag(node(top), 's-two'))).toBe('refused')
      await rig.end()
      await checkImage(top.path)
      expect(await mismatches(top.path, [[0, 1, 54]])).toEqual([])
    })

    it('grows an open layer and never shrinks it', async () => {
      const [top] = await makeChain(dir(), 4, [[[0, 4, 41]]])
      if (top === undefined) throw new Error('no layer')
      const rig = await open([top])
      for (const _ of [1, 2]) await rig.host.resize(top.layerId, 8 * MIB)
      expect(await outcome(rig.host.resize(top.layerId, 2 * MIB))).toBe('refused')
      await rig.end()
      expect(await header(top.path)).toMatchObject({ 'virtual-size': 8 * MIB })
      expect(
        await mismatches(top.path, [
          [0, 4, 41],
          [4, 4, 0],
        ]),
      ).toEqual([])
    })

    it('tells a refusal, a lost reply and a dead process apart', async () => {
      const chain = await makeChain(dir(), 4, [[]])
      const rig = await open(chain)
      const layer = await makeLayer(dir(), 4)
      expect(await outcome(rig.host.switchTops([{ from: node(chain[0]), to: 'q-nobody' }]))).toBe('refused')
      const pid = await rig.pid()
      process.kill(pid, 'SIGSTOP')
      const inFlight = outcome(rig.host.open(layer, null))
      process.kill(pid, 'SIGKILL')
      expect(await inFlight).toBe('unknown')
      expect(await outcome(rig.host.open(layer, null))).toBe('unavailable')
    })
  })
}
