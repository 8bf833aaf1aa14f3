/** System checkpoints on real QEMU with two disks: the firmware's tick counter is what its memory is known by. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkpointJobName, formatNode } from '../../src/domain/names.js'
import type { LayerFile } from '../../src/ports/block.js'
import type { Checkpoint } from '../../src/ports/checkpoints.js'
import type { Guest, GuestSpec, Hypervisor } from '../../src/ports/hypervisor.js'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import { outcome } from '../support/block-rig.js'
import { ticks, ticksBeyond } from '../support/firmware.js'
import {
  checkImage,
  diskOf,
  emulated,
  guestSpec,
  MIB,
  makeChain,
  makeStateDir,
  mismatches,
  removeStateDir,
  writePatterns,
} from '../support/qemu.js'

let stateDir: string
let hypervisor: Hypervisor
let spec: GuestSpec

beforeEach(async () => {
  stateDir = await makeStateDir()
  hypervisor = emulated(stateDir)
  const chains = [await makeChain(stateDir, 16, [[[0, 1, 7]], [[1, 1, 8]]]), await makeChain(stateDir, 16, [[[2, 1, 9]]])]
  spec = guestSpec(chains.map(diskOf))
})
afterEach(async () => {
  await hypervisor.close()
  await removeStateDir(stateDir)
})

const run = promisify(execFile)
const found = async (): Promise<Guest> => {
  const guest = await hypervisor.find(spec.serverId)
  if (guest === undefined) throw new Error('no such guest')
  return guest
}
const launched = async (): Promise<Guest> => {
  await hypervisor.launch(spec)
  return await found()
}
const tops = (): LayerFile[] => spec.disks.flatMap((disk) => disk.chain.slice(0, 1))
const checkpoint = (what: 'save' | 'load' | 'delete', id: string): Checkpoint => ({
  jobId: checkpointJobName(what, id),
  tag: `s-${id.slice(0, 8)}`,
  holders: tops().map((layer) => layer.layerId),
})
const tagsOf = async (guest: Guest, holders: readonly string[]): Promise<string[]> =>
  (await guest.blocks.nodes()).flatMap(({ node, tags }) => (holders.map(formatNode).includes(node) ? tags : []))
const listed = async (path: string): Promise<string> => (await run('qemu-img', ['snapshot', '-l', '-U', path])).stdout

describe('system checkpoints', () => {
  it('bring memory and both disks back to the moment of the save, after another QEMU wrote on', async () => {
    const id = randomUUID()
    const guest = await launched()
    await guest.resume()
    const before = await ticksBeyond(stateDir, spec.serverId, 0)
    const stood = await guest.checkpoints.save(checkpoint('save', id))
    expect(await guest.runState()).toBe('running')
    expect(stood).toBeGreaterThan(0)
    expect(stood).toBeLessThan(60_000_000)
    const after = await ticks(stateDir, spec.serverId)
    await guest.checkpoints.dismiss(checkpoint('save', id).jobId)
    await ticksBeyond(stateDir, spec.serverId, after + 5)
    await guest.quit()
    for (const layer of tops()) {
      await writePatterns(layer.path, [[0, 4, 99]])
      await checkImage(layer.path)
    }
    const next = await launched()
    await next.checkpoints.load(checkpoint('load', id))
    expect(await next.runState()).toBe('prelaunch')
    const loaded = await ticks(stateDir, spec.serverId)
    expect(loaded).toBeGreaterThanOrEqual(before)
    expect(loaded).toBeLessThanOrEqual(after)
    await next.checkpoints.dismiss(checkpoint('load', id).jobId)
    await next.resume()
    await ticksBeyond(stateDir, spec.serverId, loaded)
    await next.quit()
    const [first, second] = tops()
    expect(
      await mismatches(first?.path ?? '', [
        [0, 1, 7],
        [1, 1, 8],
        [2, 2, 0],
      ]),
    ).toEqual([])
    expect(
      await mismatches(second?.path ?? '', [
        [0, 2, 0],
        [2, 1, 9],
      ]),
    ).toEqual([])
  })

  it('leave a paused guest paused, and keep its memory', async () => {
    const id = randomUUID()
    const guest = await launched()
    await guest.resume()
    await ticksBeyond(stateDir, spec.serverId, 0)
    await guest.pause()
    const count = await ticks(stateDir, spec.serverId)
    await guest.checkpoints.save(checkpoint('save', id))
    expect(await guest.runState()).toBe('paused')
    await guest.quit()
    const next = await launched()
    await next.checkpoints.load(checkpoint('load', id))
    expect(await ticks(stateDir, spec.serverId)).toBe(count)
  })

  it('go into a file of their own, beside disks that know nothing of it, and come back as often as wanted', async () => {
    const [stateId, scratchId] = [randomUUID(), randomUUID()]
    const file: LayerFile = { layerId: stateId, path: join(stateDir, `${stateId}.vmstate`), format: 'qcow2', virtualSize: MIB }
    const files = createLayerFiles()
    const guest = await launched()
    await guest.resume()
    await ticksBeyond(stateDir, spec.serverId, 0)
    await guest.pause()
    const count = await ticks(stateDir, spec.serverId)
    await files.create(file, null)
    await guest.blocks.open(file, null, { writable: true })
    const save = { ...checkpoint('save', stateId), holders: [stateId] }
    await guest.checkpoints.save(save)
    await guest.checkpoints.dismiss(save.jobId)
    await guest.blocks.close(stateId)
    expect(await guest.runState()).toBe('paused')
    expect((await guest.blocks.nodes()).flatMap(({ tags }) => tags)).toEqual([])
    await guest.quit()
    const kept = await readFile(file.path)
    for (const _ of [1, 2]) {
      const scratch = { ...file, layerId: scratchId, path: join(stateDir, `${scratchId}.scratch`), virtualSize: kept.length }
      await files.create(scratch, { ...file, format: 'raw' })
      const next = await launched()
      const load = checkpoint('load', stateId)
      await next.checkpoints.loadFrom(file, scratch.path, load)
      expect(await ticks(stateDir, spec.serverId)).toBe(count)
      await next.checkpoints.dismiss(load.jobId)
      expect((await next.blocks.nodes()).filter(({ file }) => file?.includes(stateId) || file?.includes(scratchId))).toEqual([])
      await next.resume()
      await ticksBeyond(stateDir, spec.serverId, count)
      await next.quit()
      await files.remove(scratch.path)
      expect(kept.equals(await readFile(file.path))).toBe(true)
    }
  })

  it('tell how a save ended to whoever comes later, and are made once', async () => {
    const id = randomUUID()
    const guest = await launched()
    const { jobId, holders } = checkpoint('save', id)
    expect(await guest.checkpoints.job(jobId)).toBe('absent')
    for (const _ of [1, 2]) await guest.checkpoints.save(checkpoint('save', id))
    await hypervisor.close()
    hypervisor = emulated(stateDir)
    const again = await found()
    expect(await again.checkpoints.job(jobId)).toBe('done')
    expect(await tagsOf(again, holders)).toEqual(holders.map(() => checkpoint('save', id).tag))
    for (const _ of [1, 2]) await again.checkpoints.dismiss(jobId)
    expect(await again.checkpoints.job(jobId)).toBe('absent')
  })

  it('are refused where the tag is taken, the guest goes on, and it can be tried again under the same name', async () => {
    const id = randomUUID()
    const guest = await launched()
    await guest.resume()
    const save = checkpoint('save', id)
    await guest.checkpoints.save(save)
    await guest.checkpoints.dismiss(save.jobId)
    expect(await outcome(guest.checkpoints.save(save))).toBe('refused')
    expect(await guest.checkpoints.job(save.jobId)).toBe('failed')
    expect(await guest.runState()).toBe('running')
    for (const _ of [1, 2]) await guest.checkpoints.remove(checkpoint('delete', id))
    expect(await tagsOf(guest, save.holders)).toEqual([])
    await guest.checkpoints.save(save)
    expect(await guest.checkpoints.job(save.jobId)).toBe('done')
    await guest.quit()
    for (const layer of tops()) await checkImage(layer.path)
  })

  it('are refused while a block job works on one of the chains, and not for a chain beside it', async () => {
    const guest = await launched()
    const [top, base] = spec.disks[0]?.chain ?? []
    const [other] = spec.disks[1]?.chain ?? []
    if (top === undefined || base === undefined || other === undefined) throw new Error('no chain')
    await guest.blocks.startMerge('m-slow', top, { kind: 'commit', active: true, top, base }, { speed: 1 })
    expect(await outcome(guest.checkpoints.save(checkpoint('save', randomUUID())))).toBe('refused')
    expect(await listed(top.path)).toBe('')
    const beside = { ...checkpoint('save', randomUUID()), holders: [other.layerId] }
    await guest.checkpoints.save(beside)
    expect(await tagsOf(guest, [other.layerId])).toEqual([beside.tag])
    await guest.blocks.cancelJob('m-slow')
  })

  it('are loaded only into a guest that never ran, which stays stopped if there is nothing to load', async () => {
    const id = randomUUID()
    const guest = await launched()
    await guest.checkpoints.save(checkpoint('save', id))
    const none = checkpoint('load', randomUUID())
    expect(await outcome(guest.checkpoints.load({ ...none, tag: 'nobody' }))).toBe('refused')
    expect(await guest.checkpoints.job(none.jobId)).toBe('failed')
    expect(await guest.runState()).toBe('prelaunch')
    await guest.resume()
    expect(await outcome(guest.checkpoints.load(checkpoint('load', id)))).toBe('refused')
    expect(await guest.runState()).toBe('running')
  })

  it('are refused where a node is not open', async () => {
    const guest = await launched()
    const [holder] = [randomUUID()]
    expect((await guest.blocks.nodes()).some((node) => node.node === formatNode(holder))).toBe(false)
    expect(await outcome(guest.checkpoints.save({ ...checkpoint('save', randomUUID()), holders: [holder] }))).toBe('refused')
  })
})
