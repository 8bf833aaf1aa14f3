/** Internal snapshots in closed files: made, listed and given up with qemu-img, and read back with qemu's own tools. */
import { open } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import { outcome } from '../support/block-rig.js'
import {
  checkImage,
  diskOf,
  emulated,
  guestSpec,
  makeChain,
  makeLayer,
  makeStateDir,
  mismatches,
  removeStateDir,
  taggedMismatches,
  writePatterns,
} from '../support/qemu.js'

const files = createLayerFiles()
let dir: string
beforeEach(async () => {
  dir = await makeStateDir()
})
afterEach(() => removeStateDir(dir))

describe('a tag in a closed layer', () => {
  it('holds what the layer showed, and is made once however often it is asked for', async () => {
    const [top] = await makeChain(dir, 4, [[[0, 1, 1]], [[1, 1, 2]]])
    if (top === undefined) throw new Error('no layer')
    for (const _ of [1, 2]) await files.tag(top, 's-one')
    await writePatterns(top.path, [[0, 4, 9]])
    await files.tag(top, 's-two')
    expect(await files.tags(top)).toEqual(['s-one', 's-two'])
    expect(
      await taggedMismatches(top.path, 's-one', [
        [0, 1, 1],
        [1, 1, 2],
        [2, 2, 0],
      ]),
    ).toEqual([])
    expect(await taggedMismatches(top.path, 's-two', [[0, 4, 9]])).toEqual([])
    await checkImage(top.path)
  })

  it('goes, however often it is asked, and leaves the layer as it reads', async () => {
    const top = await makeLayer(dir, 4)
    await files.tag(top, 's-one')
    await writePatterns(top.path, [[0, 4, 9]])
    for (const _ of [1, 2]) await files.untag(top, 's-one')
    expect(await files.tags(top)).toEqual([])
    expect(await mismatches(top.path, [[0, 4, 9]])).toEqual([])
    await checkImage(top.path)
  })

  it('is neither made nor given up beside a writer, nor in what cannot keep it', async () => {
    const [top] = await makeChain(dir, 4, [[]])
    if (top === undefined) throw new Error('no layer')
    await files.tag(top, 's-one')
    const hypervisor = emulated(dir)
    await hypervisor.launch(guestSpec([diskOf([top])]))
    expect(await outcome(files.tag(top, 's-two'))).toBe('refused')
    expect(await outcome(files.untag(top, 's-one'))).toBe('refused')
    await hypervisor.close()
    expect(await outcome(files.tag({ ...top, path: `${top.path}.none` }, 's-one'))).toBe('refused')
    expect(await files.tags({ ...top, format: 'raw' })).toEqual([])
    expect(await outcome(files.tag({ ...top, format: 'raw' }, 's-one'))).toBe('refused')
  })

  it('leaves nothing that is counted and unused once a layer was mended', async () => {
    const layer = await makeLayer(dir, 4)
    await writePatterns(layer.path, [[0, 4, 9]])
    await files.tag(layer, 's-one')
    await writePatterns(layer.path, [[0, 4, 10]])
    // As a writer leaves it that was killed once the header names no tags any more, and before their clusters are free.
    const file = await open(layer.path, 'r+')
    await file.write(Buffer.alloc(12), 0, 12, 60)
    await file.close()
    await expect(checkImage(layer.path)).rejects.toThrow()
    await files.mend(layer)
    await checkImage(layer.path)
    expect(await mismatches(layer.path, [[0, 4, 10]])).toEqual([])
  })
})
