/** Disks of a guest without an operating system: at boot, hot-plugged, and asked back in vain. */
import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { formatNode } from '../../src/domain/names.js'
import type { Guest, GuestSpec, Hypervisor } from '../../src/ports/hypervisor.js'
import { outcome } from '../support/block-rig.js'
import {
  diskOf,
  emulated,
  guestSpec,
  makeChain,
  makeLayer,
  makeStateDir,
  mismatches,
  type Pattern,
  removeStateDir,
} from '../support/qemu.js'

let stateDir: string
let hypervisor: Hypervisor

beforeEach(async () => {
  stateDir = await makeStateDir()
  hypervisor = emulated(stateDir)
})
afterEach(async () => {
  await hypervisor.close()
  await removeStateDir(stateDir)
})

async function launched(spec: GuestSpec): Promise<Guest> {
  await hypervisor.launch(spec)
  const guest = await hypervisor.find(spec.serverId)
  if (guest === undefined) throw new Error('no such guest')
  return guest
}

describe('disks of a guest', () => {
  it('boots with disks that share a base, and plugs in and out more of them', async () => {
    const patterns: Pattern[] = [[1, 2, 51]]
    const [base] = await makeChain(stateDir, 4, [patterns])
    if (base === undefined) throw new Error('no layer')
    const disks = []
    for (const _ of [1, 2, 3]) disks.push(diskOf([await makeLayer(stateDir, 4, base), base]))
    const [first, second, third] = disks
    if (first === undefined || second === undefined || third === undefined) throw new Error('no disks')
    const spec = guestSpec([first, second])
    const guest = await launched(spec)
    const [top] = third.chain
    if (top === undefined) throw new Error('no top')
    await guest.blocks.open(base, null)
    await guest.blocks.open(top, formatNode(base.layerId))
    for (const _ of [1, 2]) await guest.plug(third)
    expect((await guest.devices()).sort()).toEqual(disks.map((disk) => disk.diskId).sort())
    expect(await guest.blocks.topNode(third.diskId)).toBe(formatNode(top.layerId))
    expect((await guest.blocks.nodes()).find((node) => node.node === formatNode(base.layerId))?.backing).toBeUndefined()
    // Nobody in there looks at the bus: the device stays.
    expect(await guest.unplug(third.diskId, 30)).toBe(false)
    expect(await guest.unplug(randomUUID(), 30)).toBe(true)
    await guest.quit()
    expect(await mismatches(top.path, patterns)).toEqual([])
  })

  it('refuses a disk for which there is no slot', async () => {
    const spec = guestSpec([])
    const guest = await launched(spec)
    let plugged = 0
    let result = 'success'
    while (plugged < 40 && result === 'success') {
      const disk = diskOf([await makeLayer(stateDir, 1)])
      await guest.blocks.open(disk.chain[0] as (typeof disk.chain)[number], null)
      result = await outcome(guest.plug(disk))
      if (result === 'success') plugged++
      else expect(await guest.devices()).not.toContain(disk.diskId)
    }
    expect(result).toBe('refused')
    expect(plugged).toBeGreaterThanOrEqual(20)
    expect(await guest.devices()).toHaveLength(plugged)
  })
})
