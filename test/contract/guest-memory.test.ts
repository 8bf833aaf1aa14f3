/** A guest's memory saved to a file and loaded from it, on real QEMU, by a guest that counts in its memory. */
import { randomUUID } from 'node:crypto'
import { open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { formatNode, shortId } from '../../src/domain/names.js'
import { createMemoryFiles } from '../../src/host/memory-seal.js'
import type { Guest, GuestSpec, Hypervisor } from '../../src/ports/hypervisor.js'
import { outcome } from '../support/block-rig.js'
import { countOf, writeCounter } from '../support/counting-guest.js'
import { diskOf, emulated, guestSpec, makeLayer, makeStateDir, removeStateDir } from '../support/qemu.js'
import { until } from '../support/until.js'

let stateDir: string
let hypervisor: Hypervisor
const signal = new AbortController().signal

beforeEach(async () => {
  stateDir = await makeStateDir()
  hypervisor = emulated(stateDir)
})
afterEach(async () => {
  await hypervisor.close()
  await removeStateDir(stateDir)
})

async function found({ serverId }: GuestSpec): Promise<Guest> {
  const guest = await hypervisor.find(serverId)
  if (guest === undefined) throw new Error('no such guest')
  return guest
}

const count = (spec: GuestSpec): Promise<number | undefined> => countOf(stateDir, spec.serverId)
const file = (): string => join(stateDir, 'saved.mem')

async function counting(): Promise<GuestSpec> {
  const boots = await makeLayer(stateDir, 4)
  await writeCounter(boots.path)
  const spec = guestSpec([diskOf([boots])])
  await hypervisor.launch(spec)
  await (await found(spec)).resume()
  await until(async () => (await count(spec)) !== undefined, { what: 'the guest to count', timeoutMs: 60_000 })
  return spec
}

describe("a guest's memory", () => {
  it('goes to a file and comes back: the guest counts on from where it was', { timeout: 120_000 }, async () => {
    const spec = await counting()
    const guest = await found(spec)
    await guest.pause()
    const then = (await count(spec)) ?? 0
    expect(then).toBeGreaterThan(0)
    await guest.saveMemory(file(), { signal })
    expect(await guest.runState()).toBe('postmigrate')
    expect(await readdir(stateDir)).not.toContain('saved.mem')
    await createMemoryFiles({ stateDir }).publish(file())
    expect((await stat(file())).mode & 0o777).toBe(0o600)
    expect((await readFile(file())).subarray(0, 4).toString('hex')).toBe('28b52ffd')
    await guest.quit()
    await hypervisor.launch(spec, { incoming: true })
    const again = await found(spec)
    expect(await again.runState()).toBe('inmigrate')
    await again.loadMemory(file(), { signal })
    expect(await again.runState()).toBe('paused')
    expect(await count(spec)).toBe(then)
    await again.resume()
    await until(async () => ((await count(spec)) ?? 0) > then, { what: 'it to count on' })
    expect(await readdir(join(stateDir, 'run', shortId(spec.serverId)))).not.toContain('mem.sock')
  })

  it('is saved from a guest that runs, which stands only at the end and can go on', { timeout: 120_000 }, async () => {
    const spec = await counting()
    const guest = await found(spec)
    const seen: number[] = []
    const { stoppedForMicros } = await guest.saveMemory(file(), { signal, onProgress: ({ bytesTotal }) => seen.push(bytesTotal) })
    expect(stoppedForMicros).toBeGreaterThan(0)
    expect(Math.max(...seen)).toBeGreaterThan(0)
    expect(await guest.runState()).toBe('postmigrate')
    const then = (await count(spec)) ?? 0
    await guest.resume()
    await until(async () => ((await count(spec)) ?? 0) > then, { what: 'it to count on' })
  })

  it('comes back with each disk where it was on the bus, also one plugged in later', { timeout: 120_000 }, async () => {
    const [boots, gone, late] = [await makeLayer(stateDir, 4), await makeLayer(stateDir, 4), await makeLayer(stateDir, 4)]
    const disks = [diskOf([boots]), { ...diskOf([gone]), slot: 9 }]
    const spec = guestSpec(disks)
    await hypervisor.launch(spec)
    const guest = await found(spec)
    const plugged = diskOf([late])
    await guest.blocks.open(late, null)
    await guest.plug(plugged)
    const { slots, ...facts } = await guest.facts()
    expect(await hypervisor.facts()).toEqual(facts)
    expect(facts.machine).toMatch(/^pc-i440fx-\d/)
    expect(slots[disks[1]?.diskId ?? '']).toBe(9)
    await guest.saveMemory(file(), { signal })
    await createMemoryFiles({ stateDir }).publish(file())
    await guest.quit()
    // In another order than they came.
    const wanted = [disks[0], plugged, disks[1]].flatMap((one) => (one === undefined ? [] : [{ ...one, slot: slots[one.diskId] ?? 0 }]))
    await hypervisor.launch({ ...spec, disks: wanted }, { incoming: true })
    const again = await found(spec)
    await again.loadMemory(file(), { signal })
    expect((await again.facts()).slots).toEqual(slots)
    expect(await again.blocks.topNode(plugged.diskId)).toBe(formatNode(late.layerId))
  })

  it('is not loaded from a file that was cut: QEMU ends, and the file stays', { timeout: 60_000 }, async () => {
    const spec = guestSpec([])
    await hypervisor.launch(spec)
    const guest = await found(spec)
    await guest.saveMemory(file(), { signal })
    await createMemoryFiles({ stateDir }).publish(file())
    await guest.quit()
    for (const length of [(await stat(file())).size >> 1, 0]) {
      await truncate(file(), length)
      await hypervisor.launch(spec, { incoming: true })
      const again = await found(spec)
      await expect(again.loadMemory(file(), { signal })).rejects.toMatchObject({ outcome: 'refused', reason: 'memory-unreadable' })
      await until(async () => !(await hypervisor.isRunning(spec.serverId)), { what: 'QEMU to end' })
      expect((await stat(file())).size).toBe(length)
    }
  })

  it('is not saved where nothing can be written, and the guest goes on', { timeout: 60_000 }, async () => {
    const spec = await counting()
    const guest = await found(spec)
    expect(await outcome(guest.saveMemory('/dev/full/none', { signal }))).toBe('refused')
    expect(await guest.runState()).toBe('running')
  })

  it('is left alone when the worker stops saving it: the guest can go on, and be saved again', { timeout: 120_000 }, async () => {
    const spec = await counting()
    const guest = await found(spec)
    const stop = new AbortController()
    const saving = outcome(guest.saveMemory(file(), { signal: stop.signal, onProgress: () => stop.abort() }))
    expect(await saving).toBe('unknown')
    await guest.cancelSave()
    await guest.cancelSave()
    if ((await guest.runState()) !== 'running') await guest.resume()
    await guest.saveMemory(file(), { signal })
    expect(await guest.runState()).toBe('postmigrate')
  })
})

describe('saved memory', () => {
  const binding = { qemuVersion: '7.2.22', machine: 'pc', accel: 'tcg', cpu: 'max', vcpus: 1, ramMib: 32, disks: [] }
  const options = { signal }

  it('is refused when a bit of it, of its name or of what it is bound to was changed', async () => {
    const memory = createMemoryFiles({ stateDir })
    await writeFile(file(), Buffer.alloc(3_000_000, 7))
    const state = { id: randomUUID(), binding }
    const { keyId, mac, size } = await memory.seal(state, file(), options)
    expect(size).toBe(3_000_000)
    const sealed = { ...state, keyId, mac }
    expect(await memory.check(sealed, file(), options)).toBe('intact')
    const reordered = Object.fromEntries(Object.entries(binding).reverse()) as typeof binding
    expect(await memory.check({ ...sealed, binding: reordered }, file(), options)).toBe('intact')
    expect(await memory.check({ ...sealed, id: randomUUID() }, file(), options)).toBe('changed')
    expect(await memory.check({ ...sealed, binding: { ...binding, ramMib: 64 } }, file(), options)).toBe('changed')
    expect(await memory.check({ ...sealed, keyId: '000000000000001-00000000' }, file(), options)).toBe('changed')
    const handle = await open(file(), 'r+')
    await handle.write(Buffer.from([6]), 0, 1, 2_500_000)
    await handle.close()
    expect(await memory.check(sealed, file(), options)).toBe('changed')
    expect(await memory.check(sealed, `${file()}.none`, options)).toBe('missing')
  })

  it('has its name only once it is whole, and goes without a trace', async () => {
    const memory = createMemoryFiles({ stateDir })
    expect(await memory.probe(file())).toBe('absent')
    await writeFile(`${file()}.part`, 'x')
    expect(await memory.probe(file())).toBe('partial')
    for (const _ of [1, 2]) await memory.publish(file())
    expect(await memory.probe(file())).toBe('done')
    for (const _ of [1, 2]) await memory.remove(file())
    expect(await memory.probe(file())).toBe('absent')
  })
})
