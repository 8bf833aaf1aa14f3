/** Volumes that come to servers and leave them: running, off, and with guests that do and do not give a device back. */
import * as ops from '../../src/domain/operations.js'
import { ANY } from '../../src/ports/stores.js'
import { BASE, boot, obligingRoot, type Scenario, scenario, served, TOP, writing } from './stage.js'
import type { Volumed, World } from './world.js'

async function detach(world: World, serverId: string, volume: Volumed): Promise<void> {
  const { volumeId, diskId } = volume
  const [attachment] = await world.db.read.attachments.list(ANY, { where: { volumeId: { is: volumeId } } })
  const attachmentId = attachment?.id ?? ''
  await world.db.transaction(async (s) => {
    await s.attachments.update(attachmentId, { status: 'detaching' })
    await s.volumes.update(volumeId, { status: 'detaching' })
  })
  await world.enqueue(ops.detachVolume, { attachmentId, volumeId, diskId, serverId })
}

async function attach(world: World, serverId: string): Promise<void> {
  const volume = await world.volume([BASE, TOP])
  await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
  const attachmentId = await world.attach(serverId, volume, 'attaching')
  await world.enqueue(ops.attachVolume, { attachmentId, volumeId: volume.volumeId, diskId: volume.diskId, serverId })
}

export const ATTACH_SCENARIOS: readonly Scenario[] = [
  scenario('attach-volume', 'to a running server', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE])
    await attach(world, serverId)
    return writing(serverId, volume)
  }),
  scenario('attach-volume', 'to a paused server', true, async (world) => {
    const { serverId } = await served(world, 'paused', [BASE])
    await attach(world, serverId)
    return {}
  }),
  scenario('attach-volume', 'to a server that is off', false, async (world) => {
    const { serverId } = await served(world, 'stopped', [BASE])
    await attach(world, serverId)
    return {}
  }),
  scenario('detach-volume', 'from a server that is off', false, async (world) => {
    const { serverId, volume } = await served(world, 'stopped', [BASE])
    await detach(world, serverId, volume)
    return {}
  }),
  scenario(
    'detach-volume',
    'that the guest keeps',
    true,
    async (world) => {
      const { serverId, volume } = await served(world, 'active', [BASE])
      await detach(world, serverId, volume)
      return writing(serverId, volume)
    },
    { ends: 'failed' },
  ),
  scenario(
    'detach-volume',
    'that the guest lets go',
    true,
    async (world) => {
      const serverId = await world.server('active')
      const root = await obligingRoot(world, serverId)
      const volume = await world.volume([BASE, TOP])
      await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
      await world.attach(serverId, volume)
      await boot(world, serverId, [root, volume.diskId])
      await detach(world, serverId, volume)
      return writing(serverId, volume)
    },
    { unplugTimeoutMs: 20_000 },
  ),
]
