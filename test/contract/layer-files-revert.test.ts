/** Going back to internal snapshots in closed files: applied in place, or copied out of a layer that was sealed since. */
import { randomUUID } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Chain, LayerFile } from '../../src/ports/block.js'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import { outcome } from '../support/block-rig.js'
import {
  checkImage,
  diskOf,
  emulated,
  guestSpec,
  header,
  MIB,
  makeChain,
  makeLayer,
  makeStateDir,
  mismatches,
  type Pattern,
  removeStateDir,
  taggedMismatches,
  writePatterns,
} from '../support/qemu.js'

const files = createLayerFiles()
const signal = new AbortController().signal
let dir: string
beforeEach(async () => {
  dir = await makeStateDir()
})
afterEach(() => removeStateDir(dir))

/** What the tag reads as; the top reads as nines by then. */
const THEN: readonly Pattern[] = [
  [0, 1, 1],
  [1, 1, 2],
  [2, 6, 0],
]

async function tagged(): Promise<{ chain: Chain; top: LayerFile; base: LayerFile }> {
  const chain = await makeChain(dir, 8, [[[0, 2, 1]], [[1, 1, 2]]])
  const [top, base] = chain
  if (top === undefined || base === undefined) throw new Error('no chain')
  await files.tag(top, 's-then')
  await writePatterns(top.path, [[0, 8, 9]])
  await files.tag(top, 's-later')
  return { chain, top, base }
}

describe('a tag that is applied', () => {
  it('is what the layer reads as, however often it is done, and the other tags stay what they are', async () => {
    const { top, base } = await tagged()
    for (const _ of [1, 2, 3]) await files.applyTag(top, 's-then')
    expect(await mismatches(top.path, THEN)).toEqual([])
    expect(await taggedMismatches(top.path, 's-later', [[0, 8, 9]])).toEqual([])
    expect((await header(top.path))['backing-filename']).toBe(base.path.split('/').at(-1))
    await checkImage(top.path)
  })

  it('brings the size of then, from which the layer grows again', async () => {
    const layer = await makeLayer(dir, 8)
    await files.tag(layer, 's-then')
    await files.grow(layer, 16 * MIB)
    await files.applyTag(layer, 's-then')
    await files.grow(layer, 16 * MIB)
    expect((await header(layer.path))['virtual-size']).toBe(16 * MIB)
    await checkImage(layer.path)
  })

  it('is refused where there is none of the name, and beside a writer', async () => {
    const { top, chain } = await tagged()
    expect(await outcome(files.applyTag(top, 's-never'))).toBe('refused')
    const hypervisor = emulated(dir)
    await hypervisor.launch(guestSpec([diskOf(chain)]))
    expect(await outcome(files.applyTag(top, 's-then'))).toBe('refused')
    await hypervisor.close()
  })
})

describe('a tag that is copied out', () => {
  const target = (virtualSize: number): LayerFile => {
    const layerId = randomUUID()
    return { layerId, path: `${dir}/${layerId}.qcow2`, format: 'qcow2', virtualSize }
  }

  it('holds only what the tag has of its own, on what its layer stands on, whatever was left of an attempt before', async () => {
    const { chain, base } = await tagged()
    const copy = target(8 * MIB)
    for (const _ of [1, 2]) await files.copyTag(chain, 's-then', copy, { signal })
    expect(await mismatches(copy.path, THEN)).toEqual([])
    expect((await header(copy.path))['backing-filename']).toBe(base.path.split('/').at(-1))
    expect((await stat(copy.path)).blocks * 512).toBeLessThan(2 * MIB)
    await files.verify([copy, base])
    await checkImage(copy.path)
  })

  it('is taken from a layer that stands on nothing, and may be larger than it was', async () => {
    const layer = await makeLayer(dir, 4)
    await writePatterns(layer.path, [[1, 1, 7]])
    await files.tag(layer, 's-then')
    await writePatterns(layer.path, [[0, 4, 9]])
    const copy = target(8 * MIB)
    await files.copyTag([layer], 's-then', copy, { signal })
    await rm(layer.path)
    expect(
      await mismatches(copy.path, [
        [0, 1, 0],
        [1, 1, 7],
        [2, 6, 0],
      ]),
    ).toEqual([])
  })

  it('is taken while a guest reads the layer below its disk', async () => {
    const { chain, top } = await tagged()
    const overlay = await makeLayer(dir, 8, top)
    const hypervisor = emulated(dir)
    await hypervisor.launch(guestSpec([diskOf([overlay, ...chain])]))
    const copy = target(8 * MIB)
    await files.copyTag(chain, 's-then', copy, { signal })
    await hypervisor.close()
    expect(await mismatches(copy.path, THEN)).toEqual([])
  })

  it('stops when it is told to', async () => {
    const { chain } = await tagged()
    expect(await outcome(files.copyTag(chain, 's-then', target(8 * MIB), { signal: AbortSignal.abort() }))).toBe('unavailable')
  })
})
