/**
 * Attaching and detaching a disk of a running guest. Its chain is opened first (undoable), then the device is added:
 * that is the pivot, because a guest may take its time to give a device back, or never do. A server that does not run
 * needs nothing: the disk is among those it is launched with.
 */
import { refused } from '../domain/errors.js'
import { formatNode } from '../domain/names.js'
import { guestDisk } from './guest-spec.js'
import { chainFiles, readersOf, topOf } from './places.js'
import type { ForwardBrick, PivotBrick, Tools, UndoableBrick } from './tools.js'

export const openChain = (serverId: string, diskId: string): UndoableBrick => ({
  kind: 'undoable',
  name: 'open-chain',
  resumes: true,
  async probe(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    if (guest === undefined) return 'done'
    const node = formatNode(await topOf(tools.db.read, diskId))
    return (await guest.blocks.nodes()).some((one) => one.node === node) ? 'done' : 'partial'
  },
  async apply(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    if (guest === undefined) return
    const chain = await chainFiles(tools.db.read, await topOf(tools.db.read, diskId))
    // What the headers say must be what the tables say before anything is opened.
    await tools.files.verify(chain)
    for (const [index, layer] of chain.toReversed().entries()) {
      const below = chain[chain.length - index]
      await guest.blocks.open(layer, below === undefined ? null : formatNode(below.layerId))
    }
  },
  undo: async (_, tools) => await closeChain(tools, serverId, diskId),
})

/**
 * Pivot. The hard case: QEMU died around `device_add`. A guest that is gone has no device, and the server's next start
 * plugs in what the tables list, so *done* is safe: the volume counts as attached to a server that is off.
 */
export const plugDevice = (serverId: string, diskId: string): PivotBrick => ({
  kind: 'pivot',
  name: 'plug-device',
  async probe(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    return guest === undefined || (await guest.devices()).includes(diskId) ? 'done' : 'absent'
  },
  async apply(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    if (guest !== undefined) await guest.plug(await guestDisk(tools.db.read, diskId))
  },
})

/**
 * Pivot: the guest gives the device back, or it does not and everything stays as it was. The hard case: QEMU died
 * around it. Then the device is gone with it, and *done* is simply true.
 */
export const unplugDevice = (serverId: string, diskId: string): PivotBrick => ({
  kind: 'pivot',
  name: 'unplug-device',
  async probe(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    return guest === undefined || !(await guest.devices()).includes(diskId) ? 'done' : 'absent'
  },
  async apply(_, tools) {
    const guest = await tools.hypervisor.find(serverId)
    if (guest === undefined || !(await guest.devices()).includes(diskId)) return
    if (!(await guest.unplug(diskId, tools.settings.unplugTimeoutMs)))
      throw refused('the guest did not release the device in time', { reason: 'device-kept' })
  },
})

export const closeChainStep = (serverId: string, diskId: string): ForwardBrick => ({
  kind: 'forward',
  name: 'close-chain',
  probe: async () => 'absent',
  apply: async (_, tools) => await closeChain(tools, serverId, diskId),
})

/** Top down, stopping at the first layer another disk of the same guest reads. */
async function closeChain(tools: Tools, serverId: string, diskId: string): Promise<void> {
  const guest = await tools.hypervisor.find(serverId)
  if (guest === undefined) return
  for (const layer of await chainFiles(tools.db.read, await topOf(tools.db.read, diskId))) {
    const readers = await readersOf(tools, layer.layerId)
    if (readers.some((reader) => reader.guest.serverId === serverId && reader.diskId !== diskId)) return
    await guest.blocks.close(layer.layerId)
  }
}
