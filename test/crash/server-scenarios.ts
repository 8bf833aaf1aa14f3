/** Servers made, set going, ended and lost: QEMU is killed at every gap also where it is the operation that starts it. */
import * as ops from '../../src/domain/operations.js'
import type { ServerTask, VmState } from '../../src/domain/server.js'
import { chainFiles, topOf } from '../../src/steps/places.js'
import { killGuests } from './engine.js'
import { openMonitor } from './monitor.js'
import { BASE, boot, type Scenario, scenario, served, socketOf, TOP } from './stage.js'
import { DISK_MIB, MIB, type World } from './world.js'

const onServer = (
  name: string,
  what: string,
  state: VmState,
  task: ServerTask | null,
  enqueue: (world: World, input: ops.ServerInput) => Promise<unknown>,
): Scenario =>
  scenario(name, what, state !== 'stopped' || /^(start|reboot)/.test(name), async (world) => {
    const { serverId, volume } = await served(world, state, [BASE, TOP], task)
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    await enqueue(world, { serverId, diskIds: [volume.diskId] })
    return {}
  })

export const SERVER_SCENARIOS: readonly Scenario[] = [
  scenario('create-server', 'on an image', true, async (world) => {
    const source = await world.volume([BASE])
    const serverId = await world.server('building', 'spawning')
    const parentLayerId = source.layerIds[0] ?? ''
    await world.snapshot(source, parentLayerId, 'available')
    const root = await world.rootOf(serverId, [])
    const layerId = await world.planned({ parentId: parentLayerId })
    world.expected.set(root.diskId, BASE)
    await world.db.transaction(async (s) => {
      await s.layers.update(parentLayerId, { state: 'sealed' })
      await s.disks.update(source.diskId, { topLayerId: null })
    })
    const layers = [{ diskId: root.diskId, layerId, parentLayerId, virtualSize: DISK_MIB * MIB }]
    await world.enqueue(ops.createServer, { serverId, layers, diskIds: [root.diskId] })
    return {}
  }),
  scenario('create-server', 'on a volume', true, async (world) => {
    const serverId = await world.server('building', 'spawning')
    const volume = await world.volume([BASE, TOP])
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    await world.attach(serverId, volume, 'attaching')
    await world.enqueue(ops.createServer, { serverId, layers: [], diskIds: [volume.diskId] })
    return {}
  }),
  onServer('start-server', 'from off', 'stopped', 'powering-on', (w, i) => w.enqueue(ops.startServer, i)),
  onServer('stop-server', 'running', 'active', 'powering-off', (w, i) => w.enqueue(ops.stopServer, { ...i, graceMs: 50 })),
  onServer('reboot-server', 'soft', 'active', 'rebooting', (w, i) => w.enqueue(ops.rebootServer, { ...i, type: 'SOFT' })),
  onServer('reboot-server', 'hard', 'active', 'rebooting_hard', (w, i) => w.enqueue(ops.rebootServer, { ...i, type: 'HARD' })),
  onServer('reboot-server', 'hard, from off', 'stopped', 'rebooting_hard', (w, i) => w.enqueue(ops.rebootServer, { ...i, type: 'HARD' })),
  onServer('stop-server', 'paused', 'paused', 'powering-off', (w, i) => w.enqueue(ops.stopServer, { ...i, graceMs: 50 })),
  onServer('pause-server', 'running', 'active', 'pausing', (w, i) => w.enqueue(ops.pauseServer, i)),
  onServer('unpause-server', 'paused', 'paused', 'unpausing', (w, i) => w.enqueue(ops.unpauseServer, i)),
  onServer('observe-storage', 'running', 'active', null, async (w, { serverId, diskIds }) => {
    const chainOf = async (diskId: string) => await chainFiles(w.db.read, await topOf(w.db.read, diskId))
    const disks = await Promise.all(diskIds.map(async (diskId) => ({ diskId, chain: await chainOf(diskId) })))
    await w.enqueue(ops.observeStorage, { serverId, disks, directories: [w.pool] })
  }),
  onServer('delete-server', 'running', 'active', 'deleting', (w, i) => w.enqueue(ops.deleteServer, i)),
  onServer('delete-server', 'that is off', 'stopped', 'deleting', (w, i) => w.enqueue(ops.deleteServer, i)),
  scenario('delete-server', 'with its root and a volume of its own', true, async (world) => {
    const serverId = await world.server('active', 'deleting')
    const root = await world.rootOf(serverId, [BASE, TOP])
    const volume = await world.volume([BASE])
    const attachmentId = await world.attach(serverId, volume)
    await world.db.transaction((s) => s.attachments.update(attachmentId, { deleteOnTermination: true }))
    const diskIds = [root.diskId, volume.diskId]
    await boot(world, serverId, diskIds)
    await world.enqueue(ops.deleteServer, { serverId, diskIds })
    return {}
  }),
  scenario('record-guest-off', 'after the guest ended', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE])
    const monitor = await openMonitor(socketOf(world, serverId))
    await monitor.ask('system_powerdown')
    monitor.close()
    await world.enqueue(ops.recordGuestOff, { serverId, diskIds: [volume.diskId] })
    return {}
  }),
  scenario('record-qemu-lost', 'after a loss', false, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE])
    await killGuests(world.dir)
    await world.enqueue(ops.recordQemuLost, { serverId, diskIds: [volume.diskId], reason: 'The server stopped unexpectedly.' })
    return {}
  }),
]
