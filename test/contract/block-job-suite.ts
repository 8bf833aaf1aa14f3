/** What every BlockHost promises of its block jobs. */
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { blockJobName } from '../../src/domain/names.js'
import type { BlockHost, LayerFile, Merge } from '../../src/ports/block.js'
import { node, type Rig, type StartRig, useRigs } from '../support/block-rig.js'
import { checkImage, header, MIB, makeChain, mismatches, type Pattern } from '../support/qemu.js'
import { until } from '../support/until.js'

type Layers = [LayerFile, LayerFile, LayerFile, LayerFile]

const job = (): string => blockJobName('merge', randomUUID())
const signal = (): AbortSignal => AbortSignal.timeout(20_000)

/** Runs a merge to its end, as the engine does. */
async function merge(host: BlockHost, root: LayerFile, what: Merge): Promise<void> {
  const id = job()
  await host.startMerge(id, root, what)
  if (what.kind === 'commit' && what.active) {
    expect(await host.waitForJob(id, { signal: signal(), until: 'ready' })).toMatchObject({ status: 'ready' })
    await host.completeJob(id)
  }
  const ended = await host.waitForJob(id, { signal: signal(), until: 'concluded' })
  expect(ended).toMatchObject({ id, status: 'concluded' })
  expect(ended?.error).toBeUndefined()
  // A process may be asked for its nodes at any time, also before the result is recorded.
  await host.nodes()
  await host.dismissJob(id)
  expect(await host.blockJob(id)).toBeUndefined()
}

export function blockJobSuite(name: string, start: StartRig): void {
  describe(`block jobs: ${name}`, () => {
    const { dir, open } = useRigs(start)

    const LAYERS: Pattern[][] = [[[0, 4, 21]], [[1, 1, 22]], [[2, 1, 23]], [[3, 1, 24]]]
    const VIEW: Pattern[] = [
      [0, 1, 21],
      [1, 1, 22],
      [2, 1, 23],
      [3, 1, 24],
    ]
    const four = async (): Promise<Layers> => (await makeChain(dir(), 4, LAYERS)) as unknown as Layers

    it('pulls layers up into the top, down to a base', async () => {
      const [d, c, b, a] = await four()
      const rig = await open([d, c, b, a])
      await merge(rig.host, d, { kind: 'stream', top: d, base: a })
      expect((await rig.host.nodes()).find((n) => n.node === node(d))?.backing).toBe(node(a))
      for (const layer of [c, b]) await rig.host.close(layer.layerId)
      await rig.end()
      expect(await header(d.path)).toMatchObject({ 'backing-filename': `${a.layerId}.qcow2`, 'backing-filename-format': 'qcow2' })
      expect(await mismatches(d.path, VIEW)).toEqual([])
      expect(
        await mismatches(c.path, [
          [3, 1, 21],
          [2, 1, 23],
        ]),
      ).toEqual([])
      await checkImage(d.path)
    })

    it('pulls everything up into the top, down to nothing', async () => {
      const [d, c, b, a] = await four()
      const rig = await open([d, c, b, a])
      await merge(rig.host, d, { kind: 'stream', top: d, base: null })
      for (const layer of [c, b, a]) await rig.host.close(layer.layerId)
      await rig.end()
      expect((await header(d.path))['backing-filename']).toBeUndefined()
      expect(await mismatches(d.path, VIEW)).toEqual([])
    })

    it('pulls up into an inner layer', async () => {
      const [d, c, b, a] = await four()
      const rig = await open([d, c, b, a])
      await merge(rig.host, d, { kind: 'stream', top: c, base: a })
      await rig.host.close(b.layerId)
      await rig.end()
      expect(await header(c.path)).toMatchObject({ 'backing-filename': `${a.layerId}.qcow2` })
      expect(await mismatches(d.path, VIEW)).toEqual([])
    })

    it('commits an inner layer down', async () => {
      const [d, c, b, a] = await four()
      const rig = await open([d, c, b, a])
      await merge(rig.host, d, { kind: 'commit', active: false, top: c, base: b })
      await rig.host.close(c.layerId)
      expect((await rig.host.nodes()).find((n) => n.node === node(d))?.backing).toBe(node(b))
      await rig.end()
      expect(await header(d.path)).toMatchObject({ 'backing-filename': `${b.layerId}.qcow2`, 'backing-filename-format': 'qcow2' })
      expect(await mismatches(d.path, VIEW)).toEqual([])
    })

    it('commits the active layer down and pivots', async () => {
      const [d, c, b, a] = await four()
      const rig = await open([d, c, b, a])
      await merge(rig.host, d, { kind: 'commit', active: true, top: d, base: c })
      if (rig.diskIds[0] !== undefined) expect(await rig.host.topNode(rig.diskIds[0])).toBe(node(c))
      await rig.host.close(d.layerId)
      expect((await rig.host.nodes()).some((n) => n.node === node(d))).toBe(false)
      await rig.end()
      expect(await mismatches(c.path, VIEW)).toEqual([])
      await checkImage(c.path)
    })

    it('names the top of a disk also while a commit stands in between', async () => {
      const [d, c, b, a] = await four()
      const rig = await open([d, c, b, a])
      const id = job()
      await rig.host.startMerge(id, d, { kind: 'commit', active: true, top: d, base: c })
      await rig.host.waitForJob(id, { signal: signal(), until: 'ready' })
      if (rig.diskIds[0] !== undefined) expect(await rig.host.topNode(rig.diskIds[0])).toBe(node(d))
      await rig.host.cancelJob(id)
      await rig.host.dismissJob(id)
      await rig.end()
      expect(await mismatches(d.path, VIEW)).toEqual([])
    })

    it.each<{ kind: string; what(layers: Layers): Merge }>([
      { kind: 'a pull into the top', what: ([d, , , a]) => ({ kind: 'stream', top: d, base: a }) },
      { kind: 'a pull down to nothing', what: ([d]) => ({ kind: 'stream', top: d, base: null }) },
      { kind: 'an inner commit', what: ([, c, b]) => ({ kind: 'commit', active: false, top: c, base: b }) },
      { kind: 'an active commit', what: ([d, c]) => ({ kind: 'commit', active: true, top: d, base: c }) },
    ])('has $kind on disk when it is done, also if QEMU is killed then', async ({ what }) => {
      const layers = await four()
      const rig = await open(layers)
      const done = what(layers)
      await merge(rig.host, layers[0], done)
      process.kill(await rig.pid(), 'SIGKILL')
      await rig.end().catch(() => undefined)
      const top = done.kind === 'commit' && done.active ? done.base : layers[0]
      expect(await mismatches(top.path, VIEW)).toEqual([])
      await checkImage(top.path)
    })

    it('rewrites a header only when what it promises is on disk', async () => {
      const layers = await four()
      const [top] = layers
      const rig = await open(layers)
      const id = job()
      await rig.host.startMerge(id, top, { kind: 'stream', top, base: null })
      // Killed at whatever point the copying has come to while nobody waits for it: the header still names its backing.
      await until(async () => (await rig.host.blockJob(id))?.status === 'pending', { what: 'the copying to end' })
      process.kill(await rig.pid(), 'SIGKILL')
      await rig.end().catch(() => undefined)
      expect((await header(top.path))['backing-filename']).toBeDefined()
      expect(await mismatches(top.path, VIEW)).toEqual([])
    })

    const slow = async (): Promise<{ rig: Rig; id: string; top: LayerFile; base: LayerFile }> => {
      const [top, base] = await makeChain(dir(), 64, [[[0, 64, 31]], [[8, 1, 32]]])
      if (top === undefined || base === undefined) throw new Error('no chain')
      const rig = await open([top, base])
      const id = job()
      await rig.host.startMerge(id, top, { kind: 'stream', top, base: null }, { speed: MIB })
      return { rig, id, top, base }
    }

    it('cancels a merge half way, which changes nothing one can read', async () => {
      const { rig, id, top, base } = await slow()
      expect(await rig.host.blockJob(id)).toMatchObject({ type: 'stream', error: undefined })
      for (const _ of [1, 2]) await rig.host.cancelJob(id)
      for (const _ of [1, 2]) await rig.host.dismissJob(id)
      expect(await rig.host.blockJob(id)).toBeUndefined()
      expect((await rig.host.nodes()).find((n) => n.node === node(top))?.backing).toBe(node(base))
      await rig.end()
      expect(await header(top.path)).toMatchObject({ 'backing-filename': `${base.layerId}.qcow2` })
      expect(
        await mismatches(top.path, [
          [0, 8, 31],
          [8, 1, 32],
          [9, 55, 31],
        ]),
      ).toEqual([])
    })

    it('finds a merge again after the connection was lost, and does not start it twice', async () => {
      const { rig, id, top } = await slow()
      const host = await rig.reconnect()
      await host.startMerge(id, top, { kind: 'stream', top, base: null })
      expect(await host.blockJob(id)).toMatchObject({ id, type: 'stream' })
      const seen: number[] = []
      const stopped = new AbortController()
      const waiting = host.waitForJob(id, {
        signal: stopped.signal,
        until: 'concluded',
        onProgress: ({ current }) => {
          seen.push(current)
          stopped.abort(new Error('seen enough'))
        },
      })
      await expect(waiting).rejects.toThrow('seen enough')
      expect(seen.length).toBeGreaterThan(0)
      await host.cancelJob(id)
      await host.dismissJob(id)
    })

    it('says of a job it does not know that its outcome is unknown', async () => {
      const { host } = await open(await makeChain(dir(), 4, [[]]))
      const id = job()
      expect(await host.waitForJob(id, { signal: signal(), until: 'concluded' })).toBeUndefined()
      await host.cancelJob(id)
      await host.dismissJob(id)
    })
  })
}
