/** What layers are said to hold is what lies in their files: data, zeroes and nothing told apart, open or not. */
import { execFile } from 'node:child_process'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { dataIn, dataSeen, missingIn, newIn } from '../../src/domain/holdings.js'
import type { MeasuredTree } from '../../src/ports/auditor.js'
import type { LayerFile } from '../../src/ports/block.js'
import type { Hypervisor } from '../../src/ports/hypervisor.js'
import type { Database } from '../../src/ports/stores.js'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import { createOfflineHosts } from '../../src/qemu/storage-daemon.js'
import { createStorageAuditor } from '../../src/worker/auditor.js'
import { MIB, makeChain, makeLayer, makeStateDir, removeStateDir, writePatterns } from '../support/qemu.js'

const run = promisify(execFile)
const files = createLayerFiles()
const auditor = createStorageAuditor({ db: {} as Database, hypervisor: {} as Hypervisor, files })

let dir: string
beforeEach(async () => {
  dir = await makeStateDir()
})
afterEach(() => removeStateDir(dir))

async function measured(...layers: LayerFile[]): Promise<MeasuredTree> {
  const { trees } = await auditor.measure({ serverId: 's', trees: [layers], pools: [dir] })
  return trees[0] as MeasuredTree
}

describe('measuring layers', () => {
  it('tells what each holds, what is hidden by the one above, and what its file takes', async () => {
    const [top, base] = (await makeChain(dir, 16, [
      [
        [0, 4, 1],
        [8, 1, 2],
      ],
      [[2, 4, 3]],
    ])) as [LayerFile, LayerFile]
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -z 8M 1M', top.path])
    const { held, allocated, exact } = await measured(top, base)
    expect([dataIn(held, base.layerId), dataIn(held, top.layerId)]).toEqual([5 * MIB, 4 * MIB])
    // Two of the first four MiB are written anew above, and what was at 8 says zeroes now.
    expect(missingIn(held, base.layerId, top.layerId)).toBe(2 * MIB)
    expect(newIn(held, top.layerId, base.layerId)).toBe(2 * MIB)
    expect(dataSeen(held, [top.layerId, base.layerId])).toBe(6 * MIB)
    expect(allocated[base.layerId]).toBe((await files.stat(base.path))?.allocated)
    expect(exact).toBe(true)
  })

  it('counts what is copied of a raw layer: whole clusters with data in them', async () => {
    const base: LayerFile = { layerId: 'raw', path: join(dir, 'base.raw'), format: 'raw', virtualSize: 16 * MIB }
    await writeFile(base.path, '')
    await truncate(base.path, 16 * MIB)
    for (const at of ['4k', '100k', '108k', '5M']) await run('qemu-io', ['-f', 'raw', '-c', `write -P 7 ${at} 4k`, base.path])
    const top = await makeLayer(dir, 16, base)
    await writePatterns(top.path, [[5, 1, 9]])
    const { held } = await measured(top, base)
    expect([dataIn(held, 'raw'), missingIn(held, 'raw', top.layerId)]).toEqual([3 * 65536, 2 * 65536])
  })

  it('looks at a chain that another process has open for writing, and leaves it alone', async () => {
    const chain = await makeChain(dir, 16, [[[0, 4, 1]], [[2, 4, 3]]])
    const host = await createOfflineHosts({ stateDir: dir }).open('open', chain)
    try {
      const { held } = await measured(...chain)
      expect(chain.map((layer) => dataIn(held, layer.layerId))).toEqual([4 * MIB, 4 * MIB])
      expect(await host.nodes()).toHaveLength(4)
    } finally {
      await host.release()
    }
  })

  it('says of a missing file that it is missing, and how much room there is', async () => {
    const layer = await makeLayer(dir, 16)
    const gone = { ...layer, layerId: 'gone', path: `${layer.path}.none` }
    const { trees, free } = await auditor.measure({ serverId: 's', trees: [[layer, gone]], pools: [dir] })
    expect(trees[0]?.allocated['gone']).toBeNull()
    expect(free[dir]).toBeGreaterThan(0)
  })
})
