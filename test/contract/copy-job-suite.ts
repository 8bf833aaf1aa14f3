/** What every BlockHost promises of copies of whole disks. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { blockJobName, layerFileName } from '../../src/domain/names.js'
import type { LayerFile } from '../../src/ports/block.js'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import { node, outcome, type StartRig, useRigs } from '../support/block-rig.js'
import { checkImage, header, MIB, makeChain, mismatches, type Pattern } from '../support/qemu.js'
import { until } from '../support/until.js'

const run = promisify(execFile)
const job = (): string => blockJobName('copy', randomUUID())
const signal = (): AbortSignal => AbortSignal.timeout(20_000)
const blank = (beside: LayerFile, format: 'qcow2' | 'raw', virtualSize = beside.virtualSize): LayerFile => {
  const layerId = randomUUID()
  return { layerId, path: join(dirname(beside.path), layerFileName(layerId, format)), format, virtualSize }
}
const LAYERS: Pattern[][] = [[[0, 4, 21]], [[1, 1, 22]]]
const VIEW: Pattern[] = [
  [0, 1, 21],
  [1, 1, 22],
  [2, 2, 21],
]

export function copyJobSuite(name: string, start: StartRig): void {
  describe(`copies: ${name}`, () => {
    const { dir, open } = useRigs(start)
    const files = createLayerFiles()

    async function copying(format: 'qcow2' | 'raw', sizeMib = 8, options?: { speed?: number }) {
      const [top, base] = (await makeChain(dir(), sizeMib, LAYERS)) as [LayerFile, LayerFile]
      const rig = await open([top, base])
      const target = blank(top, format)
      await files.create(target, null)
      await rig.host.open(target, null, { writable: true })
      const id = job()
      await rig.host.startCopy(id, top, target, options)
      return { rig, id, top, base, target }
    }

    /** A raw file has no header to read through. */
    async function reads(target: LayerFile): Promise<Pattern[]> {
      if (target.format === 'qcow2') {
        await checkImage(target.path)
        expect((await header(target.path))['backing-filename']).toBeUndefined()
        return await mismatches(target.path, VIEW)
      }
      const as = `${target.path}.qcow2`
      await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', target.path, as])
      return await mismatches(as, VIEW)
    }

    it.each(['qcow2', 'raw'] as const)('a %s holds what the disk showed, and the disk stays where it was', async (format) => {
      const { rig, id, top, target } = await copying(format)
      expect(await rig.host.waitForJob(id, { signal: signal(), until: 'ready' })).toMatchObject({ status: 'ready' })
      await rig.host.endCopy(id)
      const ended = await rig.host.waitForJob(id, { signal: signal(), until: 'concluded', writes: [target.layerId] })
      expect(ended).toMatchObject({ status: 'concluded', error: undefined })
      await rig.host.endCopy(id)
      if (rig.diskIds[0] !== undefined) expect(await rig.host.topNode(rig.diskIds[0])).toBe(node(top))
      await rig.host.dismissJob(id)
      await rig.host.close(target.layerId)
      process.kill(await rig.pid(), 'SIGKILL')
      await rig.end().catch(() => undefined)
      expect(await reads(target)).toEqual([])
    })

    it.each(['qcow2', 'raw'] as const)('a disk moves to its %s, which is whole when that is said', async (format) => {
      const { rig, id, top, base, target } = await copying(format)
      await rig.host.waitForJob(id, { signal: signal(), until: 'ready' })
      await rig.host.completeJob(id)
      const ended = await rig.host.waitForJob(id, { signal: signal(), until: 'concluded', writes: [target.layerId] })
      expect(ended).toMatchObject({ status: 'concluded', error: undefined })
      if (rig.diskIds[0] !== undefined) expect(await rig.host.topNode(rig.diskIds[0])).toBe(node(target))
      await rig.host.dismissJob(id)
      for (const layer of [top, base]) await rig.host.close(layer.layerId)
      process.kill(await rig.pid(), 'SIGKILL')
      await rig.end().catch(() => undefined)
      expect(await reads(target)).toEqual([])
    })

    it('refuses a target of another size, or one that stands on something', async () => {
      const [top, base] = (await makeChain(dir(), 8, LAYERS)) as [LayerFile, LayerFile]
      const rig = await open([top, base])
      const small = blank(top, 'qcow2', 4 * MIB)
      await files.create(small, null)
      await rig.host.open(small, null, { writable: true })
      expect(await outcome(rig.host.startCopy(job(), top, small))).toBe('refused')
      expect(await outcome(rig.host.startCopy(job(), base, top))).toBe('refused')
    })

    it('is slowed down and hurried on while it runs', async () => {
      const { rig, id, target } = await copying('qcow2', 64, { speed: 65_536 })
      expect((await rig.host.blockJob(id))?.status).toBe('running')
      await rig.host.setSpeed(id, 0)
      await until(async () => (await rig.host.blockJob(id))?.status === 'ready', { what: 'the copy to be ready' })
      await rig.host.cancelJob(id)
      await rig.host.dismissJob(id)
      await rig.host.setSpeed(id, 1)
      await rig.host.close(target.layerId)
    })
  })
}
